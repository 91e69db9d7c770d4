#!/bin/sh
# seccomp filters, of the program's own or inherited, that forbid what recording needs: with an error,
# or by death. The program lives and ends as it would alone; what was before is in the record.
. "$(dirname "$0")/lib.sh"

"$programs/filter" memfd errno >out
[ $? = 77 ] && skip "no seccomp filters here"
identical_end() {
	plain=0
	"$@" >plain.out 2>plain.err || plain=$?
	record "$@"
	is "$calls $action: status" "$status" "$plain"
	same "$calls $action: output" out plain.out
	invariants
}
through() {
	is "$calls $action: through" "$status" 8
	state=$(query "SELECT state FROM runs WHERE run_id = $last_run")
	is "$calls $action: before the filter" "$(query "SELECT count(*) FROM events WHERE
		run_id = $last_run AND kind = 'free' AND size_bytes = 7101")" 100
}
for calls in memfd socket send signals advice mapping reading only; do
	for action in errno kill trap; do
		identical_end "$programs/filter" $calls $action
		through
		case $calls in
		memfd | socket | advice | mapping | reading)
			is "$calls $action: state" "$state" complete
			;;
		send | only)
			is "$calls $action: state" "$state" cut
			has "$calls $action" err 'the program goes on unrecorded'
			;;
		esac
		[ $calls = only ] || identical_end "$programs/filter" $calls $action /bin/echo started
	done
done
# Strict mode, and the cycle counter forbidden. Where the processor lets it be read nonetheless, only
# the end of the recording tells that the program asked for it.
for action in prctl number seccomp; do
	calls=strict
	identical_end "$programs/filter" $calls $action
	through
	is "$calls $action: state" "$state" cut
	has "$calls $action" err 'forbids itself the system calls.*the program goes on unrecorded'
	calls=exhausted
	record "$programs/filter" $calls $action
	through
done
calls=tsc
for action in prctl number; do
	identical_end "$programs/filter" $calls $action
	through
	is "$calls $action: state" "$state" cut
	has "$calls $action" err 'forbids itself the cycle counter.*the program goes on unrecorded'
	record "$programs/filter" $calls $action "$programs/first"
	is "$calls $action: status of the program started" "$status" 0
	is "$calls $action: started" "$(query "SELECT count(*) > 0 FROM events JOIN processes
		USING (run_id, process_id) WHERE run_id = $last_run AND command LIKE '%/first'")" 1
done
# What the shim calls only now and then: for a stack or code it does not know yet, a new thread, a fork, a
# report of misuse. The program lives, and what is missed is counted. Without these calls nothing is
# missed where the answer is an error, but for how far stacks go.
for calls in looking start advice handlers closing status name; do
	for action in errno kill trap; do
		identical_end "$programs/confined" $calls $action
		run_options="--on-error continue --quiet"
		record "$programs/confined" $calls $action
		run_options=
		is "$calls $action: status with a misuse" "$status" "$plain"
		same "$calls $action: output with a misuse" out plain.out
		[ "$plain" = 8 ] || continue
		has "$calls $action" err 'already freed: a block of '
		case $calls,$action in
		closing,errno | status,errno | name,errno | looking,errno | advice,errno | handlers,errno) expected=complete,2 ;;
		start,* | looking,* | advice,* | handlers,*) expected=incomplete,1 ;;
		*) expected=cut,1 ;;
		esac
		is "$calls $action: state" "$(query "SELECT state, (SELECT count(*) FROM processes p
			WHERE p.run_id = runs.run_id) AS processes FROM runs WHERE run_id = $last_run")" $expected
		case $expected in
		complete,*) is "$calls $action: blocks of the fork" "$(query "SELECT count(*) FROM events
			JOIN processes USING (run_id, process_id) WHERE run_id = $last_run AND forked
			AND kind = 'malloc' AND size_bytes BETWEEN 100 AND 199")" 100 ;;
		incomplete,*) is "$calls $action: the fork is counted" "$(query "SELECT count(*) FROM notes
			WHERE run_id = $last_run AND text LIKE 'forked children that could not connect%: 1'")" 1 ;;
		esac
		[ "${expected%,*}" = cut ] || is "$calls $action: blocks" "$(query "SELECT count(*) FROM events JOIN processes
			USING (run_id, process_id) WHERE run_id = $last_run AND NOT forked AND kind = 'malloc'
			AND size_bytes BETWEEN 100 AND 199")" 900
	done
done
# A program under a filter that it was given is recorded, where the filter lets it be.
record "$programs/filter" memfd errno "$programs/first"
is "without a memfd" "$(query "SELECT ending FROM processes WHERE run_id = $last_run
	ORDER BY process_id" | tr '\n' ' ')" "exec exited "
recorded_whole
record "$programs/filter" socket errno "$programs/first"
has "without a socket" err 'cannot reach heaptaped.*Operation not permitted'
pass
