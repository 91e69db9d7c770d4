#!/bin/sh
# Two recordings into one file at once, and questions meanwhile.
. "$(dirname "$0")/lib.sh"
need jq

"$heaptape" run -q --label one -- "$programs/steady" 50 "$T/end" >one.out 2>one.err </dev/null &
one=$!
"$heaptape" run -q --label two -- "$programs/steady" 70 "$T/end" >two.out 2>two.err </dev/null &
two=$!
until_true grep -q ready one.out
until_true grep -q ready two.out
until_true answers "SELECT count(*) FROM processes WHERE events > 0" 2
is "two are running" "$("$heaptape" runs --json | jq '[.[] | select(.state == "running")] | length')" 2
for run in one two; do
	"$heaptape" report $run >o 2>e || fail "report $run: $(cat e)"
	has "report $run" o 'so far'
	"$heaptape" leaks $run >o 2>e || fail "leaks $run: $(cat e)"
	has "leaks $run" o 'live now'
done
# A mark says of each process what it has stored.
"$heaptape" mark --json one now >o 2>e || fail "mark: $(cat e)"
is "mark" "$(jq -r '.processes[] | [.process_id, .pid, .listed_blocks, .listed_bytes, .live_blocks,
	.live_bytes, .peak_bytes, .state] | @csv' o | tr -d '"')" "$(query "SELECT process_id, pid, 0, 0 AS bytes,
	live_blocks, live_bytes, peak_bytes, 'follows' FROM processes JOIN runs USING (run_id) WHERE label = 'one'")"
is "mark: row" "$(query "SELECT live_blocks >= 50, s.live_blocks = (SELECT live_blocks FROM processes p WHERE
	p.run_id = s.run_id) AS same, s.label, processes FROM marks s")" 1,1,now,1
is "mark without a name" "$("$heaptape" mark --json one '' | jq -r .label)" 'mark 2'
touch end
wait $one
is "one" $? 0
wait $two
is "two" $? 0
is "complete" "$("$heaptape" runs --json | jq -c '[.[].state]')" '["complete","complete"]'
is "their own blocks" "$(query "SELECT label, count(*) FROM events JOIN runs USING (run_id)
	WHERE size_bytes = 555 AND kind = 'malloc' GROUP BY label" | tr '\n' ' ')" "one,50 two,70 "
pass
