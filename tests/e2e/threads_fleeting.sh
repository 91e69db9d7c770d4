#!/bin/sh
# Threads that come and go in several programs at once, faster than one daemon reads: what a thread
# left in the socket when its buffer was another's already is merged in its turn all the same.
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2016 # the inner shell's
record sh -c 'for i in 1 2 3 4 5 6; do "$0" 5000 & done; wait' "$programs/fleeting"
is status "$status" 0
is "late events" "$(query "SELECT sum(late_events) FROM processes")" 0
is "threads of each" "$(query "SELECT DISTINCT count(*) FROM threads JOIN processes USING (process_id)
	WHERE executable LIKE '%/fleeting' GROUP BY process_id")" 5001
recorded_whole
pass
