#!/bin/sh
# Threads that free each other's blocks: each thread's rows are what it says, and whole histories
# hold together.
. "$(dirname "$0")/lib.sh"

for shape in "1 3000 1" "2 5000 2" "4 5000 3" "16 1000 4"; do
	rm -f heaptape.db*
	# $shape is three words.
	# shellcheck disable=SC2086
	record "$programs/threads" $shape
	is "status of $shape" "$status" 0
	compare_rows
	recorded_whole
	is "threads of $shape" "$(query "SELECT count(*) FROM threads WHERE events > 0")" \
		"$((${shape%% *} + 1))"
	is "frees by others" "$(query "SELECT count(*) FROM allocations a
		JOIN events e ON e.address = a.address AND e.at_ns = a.freed_at_ns
		WHERE e.kind = 'free' AND e.thread_id <> a.freed_by_thread_id")" 0
done
pass
