#!/bin/sh
# A minute of random use of the whole family by many threads that fork at random moments, every byte
# of every block checked; in the debug build with the allocator's invariants checked all along. Then
# the same recorded, and everything that must hold of the record. HT_SCALE makes it longer.
. "$(dirname "$0")/lib.sh"

case $B in
*debug) seconds=$((30 * HT_SCALE)) ;;
*) seconds=$((8 * HT_SCALE)) ;;
esac
stress=$B/tests/stress/alloc_stress
seed=$(date +%s)

# stressed WHAT THREADS SECONDS: by the seed a failure can be had again.
stressed() {
	is "$1: status of alloc_stress $2 $3 $seed" "$status" 0
	has "$1" out 'nothing wrong$'
	grep -v '^heaptape: run \|^  ' err >said || true
	is "$1: said" "$(head -5 said)" ''
}

for threads in 4 64; do
	status=0
	LD_PRELOAD=$B/libheaptape.so "$stress" $threads $seconds "$seed" >out 2>err || status=$?
	stressed "$threads threads" $threads $seconds
	seconds=$((seconds / 2))
	seed=$((seed + 1))
done

record "$stress" 4 $seconds "$seed"
stressed "recorded" 4 $seconds
recorded_whole
pass
