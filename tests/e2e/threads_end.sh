#!/bin/sh
# The ends of threads and of the program: destructors, exit handlers, threads that go on, frees after
# everything else of a thread is gone. Every block is in the record.
. "$(dirname "$0")/lib.sh"

# counted: what the program printed is what was recorded.
counted() {
	query "SELECT size_bytes, sum(kind = 'malloc'), sum(kind = 'free') FROM events
		WHERE size_bytes BETWEEN 6001 AND 6099 AND size_bytes <> 6014 AND run_id = $last_run
		GROUP BY size_bytes" >rows
	sort -n out >expected
	same "blocks of $1" rows expected
	recorded_whole
}
record "$programs/endings" short 1000
is "short: status" "$status" 5
counted "1,000 short-lived threads"
[ "$(query "SELECT count(*) FROM threads WHERE process_id = 1")" -ge 1001 ] || fail "threads are missing"
is "freed by the thread that outlives" "$(query "SELECT count(*), count(DISTINCT thread_id),
	count(DISTINCT freed_by_thread_id) FROM allocations WHERE size_bytes = 6004")" 1000,1000,1

record "$programs/endings" alive
is "alive: status" "$status" 6
counted "threads alive at exit"
[ "$(query "SELECT count(DISTINCT thread_id) FROM events WHERE size_bytes = 6014")" = 3 ] ||
	fail "not every thread that is alive at exit is in the record"

record "$programs/endings" main
is "main: status" "$status" 0
counted "main that left by pthread_exit"
is "main: cut stacks" "$(query "SELECT cut_stacks FROM processes WHERE run_id = $last_run")" 0
pass
