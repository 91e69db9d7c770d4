#!/bin/sh
# Two threads taking turns: the order of events across threads is the order in which they happened.
. "$(dirname "$0")/lib.sh"

record "$programs/order"
is status "$status" 0
query "SELECT address, size_bytes, kind FROM events WHERE size_bytes BETWEEN 1000 AND 1049
	AND kind IN ('malloc', 'free') AND thread_id IN (SELECT thread_id FROM threads WHERE number > 1)
	ORDER BY at_ns, seq" >rows
same order rows out
recorded_whole
pass
