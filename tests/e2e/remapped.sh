#!/bin/sh
# A program maps over, unmaps, moves and protects pages under its blocks. What it is given after they
# are freed is ordinary memory all the same, recorded or not, and its mappings do not pile up.
. "$(dirname "$0")/lib.sh"

status=0
LD_PRELOAD=$B/libheaptape.so "$programs/remapped" >out 2>err || status=$?
is "not recorded: status" "$status" 0
is "not recorded" "$(cat out)" intact
for options in -q "-q --no-stacks --guard"; do
	run_options=$options
	record "$programs/remapped"
	is "$options: status" "$status" 0
	is "$options" "$(cat out)" intact
done
invariants
pass
