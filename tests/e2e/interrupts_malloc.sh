#!/bin/sh
# A handler that interrupts malloc itself and allocates (under the C library's own malloc the same
# program dies): nothing hangs, no byte is lost, every event is recorded.
. "$(dirname "$0")/lib.sh"

for stacks in "" --no-stacks; do
	run_options=$stacks
	record timeout 100 "$programs/reentry" 4000
	is "status" "$status" 6
	is "blocks" "$(cat out)" "0 wrong"
	[ "$(query "SELECT count(*) FROM events WHERE kind = 'malloc' AND size_bytes = 300000 AND
		run_id = $last_run")" -ge 4000 ] || fail "the handler's blocks are missing"
	recorded_whole
done
pass
