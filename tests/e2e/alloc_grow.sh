#!/bin/sh
# Large blocks that grow a little at a time: contents kept, few of the steps move the block or call the
# system, and the record is right: one event a step, the pages as they are.
. "$(dirname "$0")/lib.sh"

grow=$programs/grow

# grown WHAT STEPS MOST: what out says; at most MOST of the steps moved their block.
grown() {
	is "$1: status" "$status" 0
	is "$1: steps" "$(sed 's/ steps, .*//' out)" "$2"
	moved=$(sed 's/.*, \([0-9]*\) moved/\1/' out)
	[ "${moved:-$2}" -le "$3" ] 2>/dev/null || fail "$1: $(cat out): at most $3"
}

# unrecorded ARGS…
unrecorded() {
	status=0
	LD_PRELOAD=$B/libheaptape.so "$grow" "$@" >out 2>err || status=$?
}

unrecorded 262144 64 sparse
grown "to 256 MiB" 4096 12
unrecorded 1048576 8192 sparse
grown "to 1 GiB, in large steps" 128 12
unrecorded 131072 4 sparse
grown "in small steps" 32768 12
unrecorded 49152 64 filled 3
grown "three in turn" 2304 60
unrecorded 8192 4 filled 5
grown "five in turn, not huge" 10240 200

# calls KIND: how many such events there are, of the allocator's own.
calls() {
	query "SELECT count(*) FROM events WHERE run_id = $last_run AND kind = '$1'"
}

record "$grow" 49152 64 sparse 2
grown "recorded" 1536 40
recorded_whole
is "events" "$(query "SELECT count(*) FROM events WHERE run_id = $last_run AND kind = 'realloc'
	AND size_bytes % 65536 = 0 AND address > 0")" 1536
[ "$(($(calls mremap) + $(calls mmap)))" -lt 200 ] ||
	fail "recorded: $(calls mremap) calls of mremap, $(calls mmap) of mmap"
record "$grow" 49152 1024 filled 3
grown "recorded, filled" 144 40
recorded_whole
pass
