#!/bin/sh
# seccomp filters, of the program's own or inherited, that forbid what recording needs: with an error,
# or by death. The program lives and ends as it would alone; what was before is in the record.
. "$(dirname "$0")/lib.sh"

"$programs/filter" memfd errno >out
[ $? = 77 ] && skip "no seccomp filters here"
for calls in memfd socket send signals advice only; do
	for action in errno kill trap; do
		identical_end() {
			plain=0
			"$@" >plain.out 2>plain.err || plain=$?
			record "$@"
			is "$calls $action: status" "$status" "$plain"
			same "$calls $action: output" out plain.out
			invariants
		}
		identical_end "$programs/filter" $calls $action
		is "$calls $action: through" "$status" 8
		state=$(query "SELECT state FROM runs WHERE run_id = $last_run")
		is "$calls $action: before the filter" "$(query "SELECT count(*) FROM events WHERE
			run_id = $last_run AND kind = 'free' AND size_bytes = 7101")" 100
		case $calls in
		memfd | socket | advice)
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
# A program under a filter that it was given is recorded, where the filter lets it be.
record "$programs/filter" memfd errno "$programs/first"
is "without a memfd" "$(query "SELECT ending FROM processes WHERE run_id = $last_run
	ORDER BY process_id" | tr '\n' ' ')" "exec exited "
recorded_whole
record "$programs/filter" socket errno "$programs/first"
has "without a socket" err 'cannot reach heaptaped.*Operation not permitted'
pass
