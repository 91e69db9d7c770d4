#!/bin/sh
# Every way to get and return a block, in one thread: the record is what the program says, row by
# row.
. "$(dirname "$0")/lib.sh"

record "$programs/history"
is status "$status" 0
compare_rows
recorded_whole

# The same history as allocations: each with its end.
is "ended allocations" "$(query "SELECT count(*) FROM allocations WHERE freed_at_ns IS NOT NULL")" \
	"$(query "SELECT count(*) FROM events WHERE kind = 'free' OR
		(kind = 'realloc' AND old_address <> 0 AND address <> 0)")"
is "lifetimes" "$(query "SELECT count(*) FROM allocations
	WHERE lifetime_ns <> freed_at_ns - allocated_at_ns OR lifetime_ns < 0")" 0
is "live allocations" "$(query "SELECT count(*), coalesce(sum(size_bytes), 0) FROM allocations
	WHERE freed_at_ns IS NULL")" "$(query "SELECT live_blocks, live_bytes FROM processes")"
is "by kind" "$(query "SELECT count(*) FROM events WHERE kind IN ('malloc', 'calloc', 'realloc',
	'memalign') AND address <> 0")" "$(query "SELECT allocations FROM processes")"
is "bytes" "$(query "SELECT sum(size_bytes) FROM allocations")" \
	"$(query "SELECT allocated_bytes FROM processes")"
pass
