#!/bin/sh
# What a heap gained, lost and kept between two moments: a program that knows, compared number by number,
# and the table `allocations` as a second witness.
. "$(dirname "$0")/lib.sh"
need jq

record "$programs/growth"
is "status" "$status" 0
invariants

# growth ARGUMENTS…: function, then bytes and blocks of each kind, of the program's own sites.
growth() {
	"$heaptape" growth --json --match growth.c -n 0 "$@" >json || fail "growth $*: $?"
	jq -r '.sites[] | [.function, .grew_bytes, .grew_blocks, .shrank_bytes, .shrank_blocks, .transient_bytes,
		.transient_blocks, .kept_bytes, .kept_blocks] | join(" ")' json
}
growth --from A --to B >got
cat >expected <<'END'
is_lost 0 0 7000 7 0 0 0 0
is_resized 3000 1 1000 1 0 0 0 0
grows 1500 5 0 0 0 0 11 1
has_no_bytes 0 1 0 0 0 0 0 0
is_replaced 4096 1 4096 1 0 0 0 0
passes 0 0 0 0 1000 20 0 0
stays 0 0 0 0 0 0 1000 10
END
same "between A and B" got expected
is "totals" "$(jq -c '.totals | map_values([.bytes, .blocks])' json)" \
	'{"grew":[8596,8],"shrank":[12096,9],"transient":[1000,20],"kept":[1011,11]}'
is "moments" "$(jq -c '[.from, .to, .from_ns, .to_ns]' json)" \
	"[\"A\",\"B\",$(query "SELECT at_ns FROM marks WHERE label = 'A'"),$(query "SELECT at_ns FROM marks WHERE label = 'B'")]"
is "change" "$(jq -c '[.sites[] | .change_bytes, .change_blocks] | .[0:4]' json)" '[-7000,-7,2000,0]'

growth --from A --to B --grew >got
printf '%s\n' 'is_resized 3000 1 1000 1 0 0 0 0' 'grows 1500 5 0 0 0 0 11 1' 'has_no_bytes 0 1 0 0 0 0 0 0' >expected
same "--grew" got expected
is "--shrank" "$(growth --from A --to B --shrank)" 'is_lost 0 0 7000 7 0 0 0 0'
is "--transient" "$(growth --from A --to B --transient)" 'passes 0 0 0 0 1000 20 0 0'
is "--kept" "$(growth --from A --to B --kept | cut -d ' ' -f 1 | xargs)" 'stays grows'

# Without words: from the first mark to the end. Without marks, from the beginning.
growth >got
is "from the first mark" "$(jq -c '[.from, .to, .to_ns]' json)" '["A",null,null]'
grep -q '^comes_later 29997 3 0 0 0 0 0 0$' got || fail "to the end: $(cat got)"
grep -q '^stays 0 0 1000 10 0 0 0 0$' got || fail "to the end: $(cat got)"
cp heaptape.db unmarked.db
"$heaptape" sql --write -d unmarked.db 'DELETE FROM marks' >o 2>&1 || fail "cannot delete the marks: $(cat o)"
growth -d unmarked.db >got
is "from the beginning" "$(jq -c '[.from, .from_ns]' json)" '[null,null]'
grep -q '^stays 0 0 0 0 1000 10 0 0$' got || fail "from the beginning: $(cat got)"
grep -q '^grows 1511 6 0 0 0 0 0 0$' got || fail "from the beginning: $(cat got)"
growth --from B --to B >got
is "one moment" "$(jq -c '.totals | map_values(.blocks)' json)" '{"grew":0,"shrank":0,"transient":0,"kept":19}'

# The same by SQL, of all blocks and between any two moments.
whole=$(query 'SELECT max(ended_ns) FROM processes')
for pair in '0% 100%' '10% 60%' '50% end' 'A B' 'B end' 'peak end' '0s 90%'; do
	from=${pair% *} to=${pair#* }
	"$heaptape" growth --json --from "$from" --to "$to" >json || fail "growth $pair: $?"
	a=$(jq '.from_ns // -1' json) b=$(jq ".to_ns // ($whole + 1)" json)
	is "$pair: by SQL" "$(jq -r '.totals | [.grew, .shrank, .transient, .kept] | map(.bytes, .blocks) | @csv' json)" \
		"$(query "WITH block AS (SELECT size_bytes AS bytes, allocated_at_ns > $a AS young,
			freed_at_ns IS NULL OR freed_at_ns > $b AS lives FROM allocations
			WHERE allocated_at_ns <= $b AND (freed_at_ns IS NULL OR freed_at_ns > $a))
		SELECT total(bytes) FILTER (WHERE young AND lives) AS a, count(*) FILTER (WHERE young AND lives) AS b,
			total(bytes) FILTER (WHERE NOT young AND NOT lives) AS c, count(*) FILTER (WHERE NOT young AND NOT lives) AS d,
			total(bytes) FILTER (WHERE young AND NOT lives) AS e, count(*) FILTER (WHERE young AND NOT lives) AS f,
			total(bytes) FILTER (WHERE NOT young AND lives) AS g, count(*) FILTER (WHERE NOT young AND lives) AS h
		FROM block" | sed 's/\.0\>//g')"
done

# For people.
COLUMNS=80 "$heaptape" growth --from A --to B --match growth.c >o
has "sentences" o "^Run 1, from 'A' (.*) to 'B' (.*):$"
has "sentences" o '^live bytes shrank by 3.42 KiB,$'
has "sentences" o '^from 12.8 KiB in 20 blocks to 9.38 KiB in 19 blocks\.$'
has "sentences" o '^allocated and freed: 1000 B in 20 blocks; live throughout: 1011 B in 11 blocks\.$'
[ -z "$(awk 'length > 80' o)" ] || fail "wider than the terminal: $(awk 'length > 80' o)"
"$heaptape" growth --from A --to B --match growth.c -n 2 >o
has "-n" o '^  \.\.\. and 5 more call sites (-n 0 shows all)$'
"$heaptape" growth --from A --to B --match growth.c --stacks --grew >o
has "--stacks" o '^        main  growth.c:'
is "--csv" "$("$heaptape" growth --from A --to B --match growth.c --csv | head -2 | cut -d , -f 1-4,14)" \
	"$(printf 'change_bytes,change_blocks,grew_bytes,grew_blocks,function\n-7000,-7,0,0,is_lost')"
is "--pid" "$(growth --from A --to B --shrank --pid "$(query 'SELECT pid FROM processes')")" 'is_lost 0 0 7000 7 0 0 0 0'
is "--module" "$("$heaptape" growth --module nowhere --csv | wc -l)" 1

# refused STATUS PATTERN ARGUMENTS…
refused() {
	wanted=$1 pattern=$2
	shift 2
	code=0
	"$heaptape" growth "$@" >o 2>e || code=$?
	is "growth $*: status" $code "$wanted"
	[ ! -s o ] || fail "growth $*: wrote to standard output"
	has "growth $*" e "$pattern"
}
refused 3 "has no mark 'nowhere'" --from nowhere
refused 3 "has no mark 'nowhere'" --to nowhere
refused 3 "'500' has no unit" --from 500
refused 2 "'B' is after 'A'" --from B --to A
refused 2 "'A' is after '0s'" --to 0s
refused 2 'cannot be used together' --grew --kept
refused 2 "unexpected argument 'b'" 1 b
refused 2 'cannot be negative' -n -1
refused 3 'no process' --pid 1
refused 3 'no run' 99

# Two processes: each by its pid, together without.
cat >two.c <<'END'
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "shim/api/heaptape.h"
static void *volatile block;
int main(void)
{
	int status;
	heaptape_mark("go");
	if (fork() == 0) {
		block = malloc(300);
		_exit(0);
	}
	block = malloc(200);
	return wait(&status) < 0;
}
END
gcc -g -fno-builtin -I"$top" -o two two.c || die "cannot build"
record ./two
is "two: status" "$status" 0
bytes() { "$heaptape" growth --json --match two.c "$@" | jq .totals.grew.bytes; }
is "both" "$(bytes)" 500
is "the child" "$(bytes --pid "$(query "SELECT pid FROM processes WHERE run_id = $last_run AND forked")")" 300
is "the parent" "$(bytes --pid "$(query "SELECT pid FROM processes WHERE run_id = $last_run AND NOT forked")")" 200

# By thread: the name, or its id.
cat >threads.c <<'END'
#include <pthread.h>
#include <stdlib.h>
static void *volatile block;
static void *work(void *bytes)
{
	pthread_setname_np(pthread_self(), "worker");
	block = malloc((size_t)bytes);
	return NULL;
}
int main(void)
{
	pthread_t thread;

	block = malloc(1000);
	return pthread_create(&thread, NULL, work, (void *)500) || pthread_join(thread, NULL);
}
END
gcc -g -D_GNU_SOURCE -fno-builtin -pthread -o threads threads.c || die "cannot build"
record ./threads
is "threads: status" "$status" 0
tid=$(query "SELECT tid FROM threads JOIN processes USING (process_id) WHERE run_id = $last_run AND tid <> pid")
leaked() { "$heaptape" leaks --match threads.c --json "$@" | jq 'map(.live_bytes) | add'; }
grown() { "$heaptape" growth --match threads.c --json "$@" | jq '.totals.grew.bytes'; }
is "all threads" "$(leaked)" 1500
is "--thread TID" "$(leaked --thread "$tid") $(grown --thread "$tid")" '500 500'
is "--thread TEXT" "$(leaked --thread worker) $(grown --thread worker)" '500 500'
is "--thread: the other" "$(leaked --thread '^threads$')" 1000
# With what the C library keeps of a started thread.
is "growth --thread: the other" "$(grown --thread '^threads$')" "$(leaked --all --thread '^threads$')"
refused 3 "has no thread 'nobody'" --thread nobody
pass
