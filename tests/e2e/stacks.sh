#!/bin/sh
# Stacks where re-use of a thread's last one is most likely to go wrong (tests/programs/stacks.c):
# alternating recursion, frames of changing size, a tail call, coroutines, signal handlers, and
# plug-ins that take turns at one address.
. "$(dirname "$0")/lib.sh"
need awk

# Frames of the program's own functions, innermost first.
cat >own.awk <<'EOT'
{
	text = $1
	n = split($2, names, ";")
	for (i = n; i > 0; i--)
		if (names[i] ~ /^(allocate|even|odd|recurse|varying|jumps|coroutine|on_signal|raises|main)$/)
			text = text " " names[i]
	print text
}
EOT

record "$programs/stacks"
is "status" "$status" 0
recorded_whole
"$B/heaptaped" --symbols "$HEAPTAPE_DB" 0 >/dev/null || fail "symbols"
query "SELECT size_bytes || ' ' || stack_text(stack_id) FROM allocations
	WHERE run_id = $last_run AND size_bytes BETWEEN 200001 AND 200999 ORDER BY size_bytes" |
	tr -d '"' | awk -f own.awk >got
same "stacks" got out
is "cut stacks" "$(query "SELECT sum(cut_stacks) FROM processes WHERE run_id = $last_run")" 0

# Cut short: each is counted with its reason, and the report says so.
run_options="--depth 2"
record "$programs/stacks"
run_options=
is "status with --depth" "$status" 0
query "SELECT cut_stacks > 0, cut_stacks = c.stacks, reason FROM processes
	JOIN stack_cuts c USING (process_id) WHERE run_id = $last_run" >got
echo '1,1,depth' >expected
same "reasons" got expected
"$heaptape" report >report.out || fail "report"
has "the report's reason" report.out ' are deeper than what was recorded of a stack$'

# Recursion that does not end: the stacks are cut, but neither anew each time nor to nothing.
record "$programs/deep"
is "status of deep" "$status" 0
recorded_whole
query "SELECT (SELECT count(*) FROM stacks) < 12 * sum(allocations), sum(cut_stacks) > 20000,
	(SELECT max(depth) BETWEEN 3000 AND 4096 FROM stacks JOIN stack_totals USING (stack_id)
	JOIN processes USING (process_id) WHERE run_id = $last_run) AS depth
	FROM processes WHERE run_id = $last_run" >got
echo '1,1,1' >expected
same "deep stacks" got expected

# A program whose segments leave holes: its unwind data is far from its code.
command -v cc >/dev/null 2>&1 || pass
if cc -D_GNU_SOURCE -I"$top" -O2 -g -fno-builtin -no-pie -Wl,-Trodata-segment=0x40000000 -o holes \
	"$top/tests/programs/stacks.c" -pthread -ldl -lm 2>/dev/null; then
	record ./holes
	is "holes: status" "$status" 0
	recorded_whole
	"$B/heaptaped" --symbols "$HEAPTAPE_DB" 0 >/dev/null || fail "symbols"
	query "SELECT size_bytes || ' ' || stack_text(stack_id) FROM allocations
		WHERE run_id = $last_run AND size_bytes BETWEEN 200001 AND 200999 ORDER BY size_bytes" |
		tr -d '"' | awk -f own.awk >got
	same "stacks of a program with holes" got out
	is "cut stacks" "$(query "SELECT sum(cut_stacks) FROM processes WHERE run_id = $last_run")" 0
fi

# Functions whose stacks grow in pieces that lie apart: the callers are on the other side.
cat >split.c <<'EOT'
#include <stdlib.h>
__attribute__((noinline)) static void *inner(size_t n) { void *p = malloc(n); __asm__ volatile("" : : "r"(p) : "memory"); return p; }
__attribute__((noinline)) static int recurse(int depth) {
	char room[3000];
	int sum;
	__asm__ volatile("" : : "r"(room) : "memory");
	free(inner(300001));
	sum = depth ? recurse(depth - 1) + 1 : 0;
	free(inner(300001));
	__asm__ volatile("" : : "r"(room) : "memory");
	return sum;
}
int main(void) { return recurse(40) != 40; }
EOT
if cc -O2 -g -fno-builtin -fsplit-stack -fuse-ld=gold -o split split.c 2>/dev/null; then
	record ./split
	is "split stack: status" "$status" 0
	recorded_whole
	"$B/heaptaped" --symbols "$HEAPTAPE_DB" 0 >/dev/null || fail "symbols"
	query "SELECT (length(t) - length(replace(t, ';recurse', ''))) / 8 AS n, count(*)
		FROM (SELECT stack_text(stack_id) t FROM allocations
		WHERE run_id = $last_run AND size_bytes = 300001) WHERE t LIKE '%main;%' GROUP BY 1" >got
	seq 1 41 | sed 's/$/,2/' >expected
	same "split stack" got expected
	is "cut stacks" "$(query "SELECT sum(cut_stacks) FROM processes WHERE run_id = $last_run")" 0
fi

# The same functions twice, so that both objects have the same layout, and return addresses are the
# same; but not the sizes of their frames.
printf '%s\n' '#include <stdlib.h>' 'void *volatile kept;' 'void *plug(size_t n) {' \
	'char room[ROOM]; __asm__ volatile("" : : "r"(room) : "memory");' \
	'kept = malloc(n); __asm__ volatile("" : : "r"(room) : "memory"); return kept; }' >plug.c
cc -O2 -g -fPIC -fno-builtin -shared -DROOM=2000 -o one.so plug.c || die "cannot build a plug-in"
cc -O2 -g -fPIC -fno-builtin -shared -DROOM=4000 -o two.so plug.c || die "cannot build a plug-in"
record "$programs/stacks" ./one.so ./two.so
is "status" "$status" 0
recorded_whole
query "WITH own AS (SELECT a.size_bytes, m.path FROM allocations a JOIN stacks s USING (stack_id)
	JOIN frames f USING (frame_id) JOIN modules m USING (module_id)
	WHERE a.run_id = $last_run AND a.size_bytes BETWEEN 200001 AND 200999)
	SELECT size_bytes || ' ' || substr(path, -8) FROM own ORDER BY size_bytes" |
	tr -d '"' | sort -u >got
same "plug-ins" got out
is "where they lie" "$(query "SELECT count(*) > 1, count(DISTINCT base) FROM mappings
	JOIN modules USING (module_id) JOIN processes USING (process_id)
	WHERE run_id = $last_run AND path LIKE '%/___.so'")" 1,1
"$B/heaptaped" --symbols "$HEAPTAPE_DB" 0 >/dev/null || fail "symbols"
is "who called them" "$(query "SELECT DISTINCT substr(stack_text(stack_id), -18) FROM allocations
	WHERE run_id = $last_run AND size_bytes BETWEEN 200001 AND 200999" | tr -d '"')" \
	"main;plug_ins;plug"
is "cut stacks" "$(query "SELECT sum(cut_stacks) FROM processes WHERE run_id = $last_run")" 0
pass
