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
# A program under a filter that it was given is recorded, where the filter lets it be.
record "$programs/filter" memfd errno "$programs/first"
is "without a memfd" "$(query "SELECT ending FROM processes WHERE run_id = $last_run
	ORDER BY process_id" | tr '\n' ' ')" "exec exited "
recorded_whole
record "$programs/filter" socket errno "$programs/first"
has "without a socket" err 'cannot reach heaptaped.*Operation not permitted'
pass
