#!/bin/sh
# Death by every cause, at any moment: each thread counts in a shared file what it has completed
# (tests/programs/mortal.c), and exactly that is in the database; the call that was
# under way may be. heavy_death.sh dies a hundred times of each cause.
. "$(dirname "$0")/lib.sh"

sizes="size_bytes IN (601, 1603, 70001) AND kind IN ('malloc', 'calloc', 'realloc', 'free')"

# counted WHAT: the last run's events of each thread against the file.
counted() {
	"$programs/mortal" counts read >want
	query "SELECT tid, count(*) FROM events JOIN threads USING (thread_id)
		WHERE run_id = $last_run AND $sizes GROUP BY thread_id" >got
	awk -F, 'FILENAME == ARGV[1] { got[$1] += $2; next }
		{ more = got[$1] - $2; calls += $2; if (more < 0 || more > 1) print $0 " but " got[$1] + 0 }
		END { print calls + 0 >"calls" }' got want >differ
	[ ! -s differ ] || fail "$1: tid,calls: $(head -3 differ | tr '\n' ' ')"
}

# dies WHAT STATUS HOW [THREADS [CHILDREN]]
dies() {
	what="$1 ($3 ${4:-1} ${5:-0} $run_options)" expected=$2
	shift 2
	rm -f counts
	record "$programs/mortal" counts "$@"
	is "$what: status" "$status" "$expected"
	runs_over
	counted "$what"
	# Where memory ends, page events may find no room; they are counted.
	[ "${what%% (*}" = "limited memory" ] || is "$what: lost" "$(query "SELECT state,
		sum(lost_events) FROM runs JOIN processes USING (run_id) WHERE run_id = $last_run")" \
		"complete,0"
}

# The least of what is kept: totals, live blocks, the invariants; then a new file.
checked() {
	invariants
	rm -f heaptape.db*
}

random_us() { awk -v n="$1" 'BEGIN { srand(n); print int(rand() * rand() * 60000) }'; }

run_options=
for options in -q "-q --no-stacks"; do
	run_options=$options
	dies segv 139 segv=9001 2
	is "report" "$("$heaptape" report | grep -c 'killed by SIGSEGV after')" 1
	dies abort 134 abort=5000 2
	dies _exit 3 exit=777 2
	dies "exit_group" 3 raw=12345 2
	dies "stack overflow" 139 stack=20000 2
	checked
	dies "limited memory" 139 as=20 2
	rm -f heaptape.db*
done
run_options="-q"
dies "all at once" 137 kill=30000 40
dies "the whole group" 137 group=20000 2 3
is "the group's endings" "$(query "SELECT count(*), sum(exit_signal = 9) FROM processes WHERE
	run_id = $last_run AND events > 0")" "4,4"
dies "an early death" 137 kill=1
dies "with an heir" 137 heir=5000 2
is "with an heir: the end" "$(query "SELECT exit_signal FROM processes WHERE run_id = $last_run")" 9
checked

# Killed by a timer at a random moment.
kills=20 calls_before=0
for n in $(seq $kills); do
	run_options="-q"
	[ $((n % 2)) = 0 ] || run_options="-q --no-stacks"
	case $((n % 4)) in
	0 | 3) dies "kill $n" 137 kill="$(random_us "$n")" 1 ;;
	1) dies "kill $n" 137 kill="$(random_us "$n")" 4 ;;
	2) dies "kill $n" 137 group="$(random_us "$n")" 2 2 ;;
	esac
	calls_before=$((calls_before + $(cat calls)))
	[ $((n % 5)) != 0 ] || checked
done
[ $calls_before -gt $((kills * 5000)) ] || fail "only $calls_before calls in $kills programs"

# Killed while the library starts in it.
for n in $(seq 5); do
	rm -f counts
	record sh -c '"$@" & sleep $0; kill -9 $!; wait $!' "0.00$((n % 7))" "$programs/mortal" counts \
		kill=9000000
	is "early kill $n: status" "$status" 137
	[ ! -s counts ] || counted "early kill $n"
	# Its record may not have begun; then that is said.
	is "early kill $n" "$(query "SELECT count(*), state <> iif((SELECT count(*) FROM notes n WHERE
		n.run_id = runs.run_id AND text LIKE '% that ended before their records began% 1'),
		'incomplete', 'complete') AS differs FROM runs WHERE run_id = $last_run")" 1,0
done
checked

# The kernel kills what takes more memory than its group may have.
group=
for root in /sys/fs/cgroup/memory /sys/fs/cgroup; do
	[ -z "$group" ] && mkdir "$root/heaptape-test.$$" 2>/dev/null && group=$root/heaptape-test.$$
done
if [ -n "$group" ] && { echo 60000000 >"$group/memory.limit_in_bytes" ||
	echo 60000000 >"$group/memory.max"; } 2>/dev/null; then
	rm -f counts
	run_options=-q
	record sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$programs/mortal" counts eat=0 3
	is "out of memory: status" "$status" 137
	counted "out of memory"
	[ "$(cat calls)" -gt 3000 ] || fail "out of memory: only $(cat calls) calls"
	is "out of memory" "$(query "SELECT state, runs.exit_signal, sum(live_blocks) > 3000
		FROM runs JOIN processes USING (run_id)")" "complete,9,1"
	checked
else
	echo "no memory cgroup can be made here: only limits were tested"
fi
[ -z "$group" ] || rmdir "$group"

# shellcheck disable=SC2317 # until_true calls it
has_counted() { [ -e counts ] && "$programs/mortal" counts read | grep -qv ',0$'; }
# shellcheck disable=SC2317
has_stopped() { grep -q '^State:.*stopped' "/proc/$1/status"; }
# begin HOW…: in the background, until it has counted something.
begin() {
	rm -f counts
	"$heaptape" run -q -- "$programs/mortal" counts "$@" >out 2>err </dev/null &
	recorder=$!
	until_true has_counted
	pid=$("$programs/mortal" counts read | head -1 | cut -d, -f1)
}

# Stopped, it can be looked into; killed then, nothing is missing either.
begin stop=12345
until_true has_stopped "$pid"
is "stopped: calls so far" "$("$programs/mortal" counts read)" "$pid,12345"
# The daemon stores what a running program sends a few times a second.
until_true answers "SELECT count(*) >= 12345 FROM events WHERE $sizes" 1
counted "stopped"
is "stopped: state" "$(query "SELECT state FROM runs")" running
kill -KILL "$pid"
wait $recorder
is "stopped and killed: status" $? 137
counted "stopped and killed"
begin stop=12345 4
until_true has_stopped "$pid"
kill -KILL "$pid"
wait $recorder
counted "four threads, stopped and killed"
checked

# The command is killed: the program runs on, and its recording goes on to its end.
begin kill=1500000 2
kill -KILL $recorder
until_true answers "SELECT state FROM runs" complete
is "command killed: state" "$(query "SELECT state FROM runs")" complete
counted "command killed"
is "command killed: the program's end" "$(query "SELECT exit_signal, lost_events FROM processes")" 9,0
"$heaptape" report >o
has "command killed: report" o 'SIGKILL'
checked

# The kernel closes a dying program's connection before it says how it died.
rm -f heaptape.db*
for i in $(seq 40); do
	rm -f counts
	"$heaptape" run -- "$programs/mortal" counts kill=$((1000 + 200 * i)) >/dev/null 2>&1 &
	recorder=$!
	until [ -e counts ]; do sleep 0.002; done
	kill -KILL $recorder
	wait $recorder 2>/dev/null
done
runs_over
is "commands killed: the programs' ends" "$(query "SELECT count(*) > 30, sum(exit_signal IS NOT 9)
	FROM processes")" 1,0
pass
