#!/bin/sh
# malloc(64) as a program's first act: 32 pages from sbrk, and the block inside them.
. "$(dirname "$0")/lib.sh"

record "$programs/first"
is status "$status" 0
block=$(cat out)
rows=$(query "SELECT kind, size_bytes, $block BETWEEN address AND address + size_bytes - 64
	FROM events WHERE kind = 'sbrk' ORDER BY seq LIMIT 1")
is "the first pages" "$rows" "sbrk,$((32 * 4096)),1"
is "the block" "$(query "SELECT kind, address, size_bytes FROM events WHERE address = $block
	AND kind = 'malloc'")" "malloc,$block,64"
is "the block lives on" "$(query "SELECT address, size_bytes, freed_at_ns IS NULL
	FROM allocations WHERE address = $block")" "$block,64,1"
is "nothing else came first" "$(query "SELECT kind FROM events WHERE kind NOT IN ('span', 'mmap')
	ORDER BY at_ns, seq LIMIT 2" | tr '\n' ' ')" "sbrk malloc "
recorded_whole
pass
