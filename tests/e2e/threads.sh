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
	query "SELECT address, freed_at_ns, freed_by_thread_id, size_bytes FROM allocations
		WHERE freed_at_ns IS NOT NULL ORDER BY 1, 2" >ends
	query "SELECT iif(kind = 'free', address, old_address), at_ns, thread_id,
		iif(kind = 'free', size_bytes, old_size_bytes) FROM events
		WHERE kind = 'free' OR (kind = 'realloc' AND old_address <> 0 AND address <> 0)
		ORDER BY 1, 2" >frees
	same "ends of allocations of $shape" ends frees
	query "SELECT address, allocated_at_ns, thread_id, size_bytes, usable_bytes
		FROM allocations ORDER BY 1, 2" >begins
	query "SELECT address, at_ns, thread_id, size_bytes, usable_bytes FROM events
		WHERE kind IN ('malloc', 'calloc', 'realloc', 'memalign') AND address <> 0
		ORDER BY 1, 2" >births
	same "allocations of $shape" begins births
done
pass
