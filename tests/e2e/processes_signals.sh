#!/bin/sh
# A signal handler that allocates: every event is there.
. "$(dirname "$0")/lib.sh"

record "$programs/signals"
is status "$status" 0
is "allocations" "$(query "SELECT sum(size_bytes < 1100 AND size_bytes >= 100),
	sum(size_bytes = 3333) FROM events WHERE kind = 'malloc'")" "$(cat out)"
recorded_whole
pass
