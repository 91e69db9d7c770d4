#!/bin/sh
# The program's own sbrk, brk, mmap, munmap, mremap, madvise, told apart from the allocator's.
. "$(dirname "$0")/lib.sh"

record "$programs/pages"
is status "$status" 0
query "WITH marker AS (
	SELECT min(CASE kind WHEN 'free' THEN seq END) AS low,
	       max(CASE kind WHEN 'malloc' THEN seq END) AS high
	FROM events WHERE size_bytes = 777001 AND kind IN ('malloc', 'free'))
SELECT kind, address, size_bytes, coalesce(old_address, 0) FROM events, marker
WHERE seq > low AND seq < high AND origin = 'program'
      AND kind IN ('sbrk', 'brk', 'mmap', 'munmap', 'mremap', 'madvise') ORDER BY seq" >rows
same rows rows out
recorded_whole
pass
