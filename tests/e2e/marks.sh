#!/bin/sh
# Marks: a program names moments of its history, the command does so while it runs and afterwards, and each
# can be given where a moment is asked for.
. "$(dirname "$0")/lib.sh"
need gcc g++ jq

cat >object.c <<'EOT'
#include "shim/api/heaptape.h"
void mark(void);
void mark(void) { heaptape_mark("of an object"); }
EOT
gcc -I"$top" -shared -fPIC -o object.so object.c || die "cannot build the object"
gcc -Wall -Wextra -Wpedantic -Werror -std=gnu99 -I"$top" -o marks "$top/tests/programs/marks.c" -ldl || die "C"
gcc -no-pie -I"$top" -o fixed "$top/tests/programs/marks.c" -ldl || die "for a fixed address"
# C++ includes what declares dlsym, before and after.
{
	echo '#include <dlfcn.h>'
	echo '#include "shim/api/heaptape.h"'
	echo '#include <cstdlib>'
	echo 'int main() { heaptape_mark("C++"); return 0; }'
} >cxx.cc
g++ -Wall -Wextra -Werror -I"$top" -o cxx cxx.cc || die "C++"
echo 'int main(void) { heaptape_mark("none"); return 0; }' | cat object.c - >static.c
gcc -static -I"$top" -o static static.c || die "static"

marks() {
	query "SELECT substr(label, 1, 20), live_blocks - (SELECT live_blocks FROM marks WHERE
		label = 'nothing yet' AND run_id = $last_run) AS more FROM marks WHERE run_id = $last_run
		ORDER BY at_ns, mark_id"
}
cat >expected <<'EOT'
nothing yet,0
"ten ""blocks""",10
xxxxxxxxxxxxxxxxxxxx,5
EOT
for program in marks fixed; do
	record "./$program" ./object.so
	is "$program: status" "$status" 0
	marks | grep -v 'of the\|of an\|again' >got
	same "$program" got expected
	is "$program: others" "$(query "SELECT label, count(DISTINCT process_id) AS n, count(*) AS c FROM marks WHERE
		run_id = $last_run AND (label LIKE 'of%' OR label = 'again') GROUP BY label")" "\
again,1,2
of an object,1,1
of the child,1,1"
	is "$program: a label is cut" "$(query "SELECT max(length(label)) FROM marks WHERE run_id = $last_run")" 200
	is "$program: events" "$(query "SELECT count(*), count(DISTINCT stack_id) > 3 AS s FROM events WHERE kind = 'mark'
		AND run_id = $last_run")" 7,1
	is "$program: at the time of the event" "$(query "SELECT count(*) FROM marks m JOIN events e ON
		e.process_id = m.process_id AND e.at_ns = m.at_ns AND e.kind = 'mark' WHERE m.run_id = $last_run AND
		label <> 'again'")" 5
	invariants --run "$(query "SELECT $last_run")"
done
record ./cxx
is "C++" "$(query "SELECT label FROM marks WHERE run_id = $last_run")" 'C++'

# Without heaptape, and where it cannot be.
./marks ./object.so >out || fail "alone: $?"
is "alone" "$(cat out)" "done"
./static || fail "static: $?"

# A mark is a moment.
run=$(query "SELECT max(run_id) FROM runs JOIN processes USING (run_id) WHERE processes.executable LIKE '%/fixed'")
blocks() { "$heaptape" leaks --all --json "$@" "$run" | jq '[.[] | select(.stack | not) | .live_blocks] | add // 0'; }
is "live at a mark" "$(($(blocks --at 'ten "blocks"') - $(blocks --at 'nothing yet')))" 10

# Afterwards, also where one was set already.
"$heaptape" mark --json --at 'ten "blocks"' "$run" copy >o || fail "mark --at: $?"
is "afterwards" "$(jq -r '[.label, .process_id, .live_blocks] | @csv' o)" \
	"\"copy\",,$(query "SELECT live_blocks FROM marks WHERE label = 'ten \"blocks\"' AND run_id = $run")"
"$heaptape" mark "$run" >o 2>&1
is "a label that looks like a number" $? 2
"$heaptape" mark "$run" copy >o 2>e && fail "the same label: done"
has "the same label" e "has a mark 'copy' already"
"$heaptape" mark "$run" end >o 2>e && fail "end: done"
has "end" e "already means a moment"
"$heaptape" mark --at never "$run" x >o 2>e && fail "no such moment: done"
has "no such moment" e "has no mark 'never'"
"$heaptape" mark "$run" '' >o || fail "without a name"
has "without a name" o "'mark [0-9]*' at"
"$heaptape" mark --list "$run" >o || fail "--list"
has "--list" o 'ten "blocks"'
has "--list" o 'copy'
is "--list --json" "$("$heaptape" mark --list --json "$run" | jq length)" \
	"$(query "SELECT count(*) FROM marks WHERE run_id = $run")"
pass
