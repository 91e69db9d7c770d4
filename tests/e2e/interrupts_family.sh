#!/bin/sh
# Signal handlers that interrupt malloc's family and use all of it, for blocks of the same sizes and for
# the very blocks the program is about to resize or free: no byte is lost, no request refused, every event
# is recorded; recorded or not, with guards or without. And a handler that jumps out of malloc costs its
# thread nothing but what was in hand. HT_SCALE=10: more of it.
. "$(dirname "$0")/lib.sh"

signals=$((10000 * HT_SCALE))
nothing="0 wrong, 0 refused"

for how in "" jump; do
	status=0
	LD_PRELOAD=$B/libheaptape.so timeout 100 "$programs/handlers" $signals 3 $how >out 2>err || status=$?
	is "bare $how: status" "$status" 7
	is "bare $how: blocks" "$(cat out)" "$nothing"
	is "bare $how: said" "$(cat err)" ''
	for run_options in --no-stacks "" --free-stacks --dormant --guard; do
		# There a free puts back another block, of any size, and may need a lock for that.
		[ "$run_options$how" != --guardjump ] || continue
		record timeout 100 "$programs/handlers" $signals 3 $how
		is "$run_options $how: status" "$status" 7
		is "$run_options $how: blocks" "$(cat out)" "$nothing"
		recorded_whole
		[ "$how" = jump ] || continue
		[ "$run_options" != --dormant ] || continue
		# The thread goes on recording under its own number.
		is "$run_options: who allocates afterwards" "$(query "SELECT min(number), max(number),
			count(*) FROM events JOIN threads USING (thread_id) WHERE kind = 'malloc' AND
			size_bytes = 4321 AND run_id = $last_run")" 1,1,100
	done
done
pass
