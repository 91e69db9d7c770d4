#!/bin/sh
# The random use of alloc_stress.sh while the recording is paused, resumed and looked at at random
# moments. Every byte is right all along; everything that must hold of a record holds; and once the
# program rests, what the record says is live is what is live, block by block. HT_SCALE makes it longer.
. "$(dirname "$0")/lib.sh"

seed=$(date +%s)
threads=4
mkfifo in
exec 3<>in
"$heaptape" run -q -- "$B/tests/stress/alloc_stress" $threads $((4 * HT_SCALE)) "$seed" keep \
	<in >out 2>err &
command=$!
random=$seed

# pick N: a number below N in $picked.
pick() {
	random=$(((random * 1103515245 + 12345) % 2147483648))
	picked=$((random / 65536 % $1))
}

rests() { grep -q 'nothing wrong$' out; }
switches=0
while kill -0 $command 2>/dev/null && ! rests; do
	pick 40
	sleep "0.$((picked / 10))$((picked % 10))"
	pick 5
	case $picked in
	0) "$heaptape" pause ;;
	1) "$heaptape" resume ;;
	2) "$heaptape" resume --wait 0 ;;
	3) "$heaptape" pause --wait 0 && "$heaptape" resume --wait 0 ;;
	4) "$heaptape" mark --wait 1 ;;
	esac >>said 2>&1
	switches=$((switches + 1))
done
rests || die "alloc_stress $threads - $seed: $(tail -3 err)"

# Listed once more, now that nothing changes. Resuming waits for the program's next allocation.
while printf n >&3; do sleep 0.1; done &
feeder=$!
"$heaptape" resume >>said 2>&1
"$heaptape" pause >>said 2>&1
"$heaptape" resume >>said 2>&1 || fail "the last resume: $(tail -3 said)"
kill $feeder
printf q >&3
wait $command
is "status with seed $seed" $? 0
grep '^[0-9]' out | sort >kept
[ "$(wc -l <kept)" -gt 100 ] || fail "only $(wc -l <kept) blocks were kept"
invariants
is "events lost" "$(query "SELECT sum(lost_events) FROM processes")" 0
main="(SELECT process_id FROM processes ORDER BY process_id LIMIT 1)"
# Nothing counts as live that is not. What a call was just handing out as recording went on is not
# recorded until it is listed the next time (shim/record/resume.h): few blocks.
missing="listed_blocks - known_blocks"
is "the last list" "$(query "SELECT complete, known_blocks - kept_blocks, $missing >= 0 AND
	$missing <= $switches * $threads FROM gaps WHERE process_id = $main ORDER BY from_ns DESC LIMIT 1" |
	tail -1)" 1,0,1
# The program's own account: each block with what was asked for, or, of one that was never recorded
# as it was allocated, its whole size. The C library keeps some memory of each thread's.
query "SELECT address, size_bytes, usable_bytes FROM allocations WHERE process_id = $main
	AND freed_at_ns IS NULL" | sort >live
join -t, -j1 -a1 kept live >both
is "blocks that the record does not have" "$(awk -F, 'NF != 5 || ($4 != $2 && $4 != $3) || $5 != $3' both)" ""
[ "$(wc -l <live)" -le $(($(wc -l <kept) + threads + 4)) ] ||
	fail "$(wc -l <live) blocks live, $(wc -l <kept) of the program's"
pass
