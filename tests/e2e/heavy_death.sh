#!/bin/sh
# A hundred deaths of each kind (DEATHS=N: so many; KINDS="abort data": only those), each at another
# moment, with call stacks and without. Every thread counts in a shared file what it has completed
# (tests/programs/mortal.c); exactly that is in the database afterwards, of every thread of every
# process, and the call that was under way may be. A line says of each kind how many times it was so.
. "$(dirname "$0")/lib.sh"
need sqlite3
deaths=${DEATHS:-100}
mortal=$programs/mortal

# between LOW HIGH: a number, another one for every seed.
between() { awk -v s="$seed" -v a="$1" -v b="$2" 'BEGIN { srand(s); print int(a + rand() * rand() * (b - a)) }'; }

# counted: every thread's events against the file.
counted() {
	"$mortal" counts read >want
	query "SELECT tid, count(*) FROM events JOIN threads USING (thread_id)
		WHERE size_bytes IN (601, 1603, 70001) AND kind IN ('malloc', 'calloc', 'realloc', 'free')
		GROUP BY thread_id" >got
	awk -F, 'FILENAME == ARGV[1] { got[$1] += $2; next }
		{ more = got[$1] - $2; calls += $2; if (more < 0 || more > 1) print $0 " but " got[$1] + 0 }
		END { print calls + 0 >"calls" }' got want >differ
	[ ! -s differ ] || fail "$what: tid,calls: $(head -3 differ | tr '\n' ' ')"
}

# death STATUS WORDS…: one, in a database of its own.
death() {
	expected=$1
	shift
	what="$kind $seed ($*)"
	rm -f counts heaptape.db*
	echo 0 >calls
	record "$@"
	is "$what: status" "$status" "$expected"
	[ ! -e counts ] || counted
	is "$what: lost" "$(query "SELECT state, sum(lost_events) FROM runs JOIN processes USING (run_id)")" \
		"complete,0"
	is "$what: integrity" "$(sqlite3 "$HEAPTAPE_DB" 'PRAGMA integrity_check')" ok
	invariants
}

# The words after `counts`: how the program dies, threads, children.
# shellcheck disable=SC2016 # what an inner shell replaces
die_once() {
	one_to_four=$((seed / 2 % 4 + 1)) one_or_two=$((seed / 2 % 2 + 1))
	calls=$(between 1 20000) time_us=$(between 0 60000)
	set -- "$mortal" counts
	case $kind in
	kill_one_thread) death 137 "$@" "kill=$time_us" ;;
	kill_many_threads) death 137 "$@" "kill=$time_us" $((one_to_four * 8)) ;;
	kill_forked) death 137 "$@" "group=$time_us" 2 "$one_to_four" ;;
	kill_forking) death 137 "$@" "forks=$time_us" "$one_to_four" ;;
	kill_starting)
		death 137 sh -c '"$@" & sleep $0; kill -9 $!; wait $!' "0.00$(between 0 20)" \
			"$@" kill=9000000 "$one_or_two"
		;;
	wild_write) death 139 "$@" "segv=$calls" "$one_to_four" ;;
	abort) death 134 "$@" "abort=$calls" "$one_to_four" ;;
	exit) death 3 "$@" "exit=$calls" "$one_to_four" ;;
	exit_system_call) death 3 "$@" "raw=$calls" "$one_to_four" ;;
	stack) death 139 "$@" "stack=$calls" "$one_to_four" ;;
	stack_of_thread) death 139 "$@" "guard=$calls" "$one_to_four" ;;
	stack_in_malloc) death 139 "$@" "deep=$calls" "$one_or_two" ;;
	stack_handled) death 139 "$@" "alternate=$calls" "$one_or_two" ;;
	as) death 139 "$@" "as=$(between 20 70)" "$one_or_two" ;;
	as_abort) death 134 "$@" "as-abort=$(between 20 70)" "$one_or_two" ;;
	as_stack) death 139 "$@" "as-stack=$(between 1 40)" ;;
	as_from_the_start) # such a limit leaves room for a small record only
		death 139 sh -c 'ulimit -v $0; exec "$@"' "$(between 120000 200000)" "$@" eat=0
		;;
	data) death 139 "$@" "data=$(between 20 70)" "$one_or_two" ;;
	data_abort) death 134 "$@" "data-abort=$(between 20 70)" "$one_or_two" ;;
	out_of_memory) # the kernel kills what takes more than its group may have
		between 20000000 60000000 >"$limit"
		death 137 sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@" eat=0 "$one_to_four"
		;;
	esac
}

# A group of processes whose memory can be limited.
group='' limit=''
for file in memory/heaptape.$$/memory.limit_in_bytes heaptape.$$/memory.max; do
	if [ -n "$limit" ] || ! mkdir "/sys/fs/cgroup/${file%/*}" 2>/dev/null; then
		continue
	elif [ -w "/sys/fs/cgroup/$file" ]; then
		group=/sys/fs/cgroup/${file%/*} limit=/sys/fs/cgroup/$file
	else
		rmdir "/sys/fs/cgroup/${file%/*}"
	fi
done

for kind in ${KINDS:-kill_one_thread kill_many_threads kill_forked kill_forking kill_starting \
	wild_write abort exit exit_system_call stack stack_of_thread stack_in_malloc stack_handled \
	as as_abort as_stack as_from_the_start data data_abort out_of_memory}; do
	if [ "$kind" = out_of_memory ] && [ -z "$limit" ]; then
		echo "out_of_memory: skipped, no memory cgroup can be made here"
		continue
	fi
	whole=0 all_calls=0
	for seed in $(seq "$deaths"); do
		failures_before=$(failures) run_options=-q
		[ $((seed % 2)) = 0 ] || run_options="-q --no-stacks"
		die_once
		[ "$(failures)" != "$failures_before" ] || whole=$((whole + 1))
		all_calls=$((all_calls + $(cat calls)))
	done
	echo "$kind: $whole of $deaths ($all_calls calls)"
done
[ -z "$limit" ] || rmdir "$group"
pass
