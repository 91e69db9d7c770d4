#!/bin/sh
# Signal handlers that interrupt the recorder: every event of theirs is recorded, and one that never
# returns does not stop the recording.
. "$(dirname "$0")/lib.sh"

for how in plain alternate jump; do
	record "$programs/interrupts" $how
	is "$how: status" "$status" 0
	IFS=, read -r least most <out
	made=$(query "SELECT count(*) FROM events WHERE kind = 'madvise' AND size_bytes = 12288
		AND usable_bytes = 0 AND run_id = (SELECT max(run_id) FROM runs)")
	if [ "$made" -lt "$least" ] || [ "$made" -gt "$most" ]; then
		fail "$how: $made calls recorded, $least to $most made"
	fi
	recorded_whole
done
pass
