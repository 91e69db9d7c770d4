#!/bin/sh
# Recording is switched again and again while threads allocate, resize and free one another's blocks:
# everything that must hold of a record holds.
. "$(dirname "$0")/lib.sh"

for start in --dormant --quiet; do
	"$heaptape" run -q "$start" -- "$programs/unrest" 4 4 fork >out 2>err </dev/null &
	command=$!
	for _ in 1 2 3; do
		sleep 0.3
		"$heaptape" resume >>said 2>&1
		sleep 0.2
		"$heaptape" pause >>said 2>&1
	done
	"$heaptape" resume >>said 2>&1
	wait "$command"
	is "$start: status" $? 0
	is "$start: output" "$(cat out)" "done"
	invariants --run "$(query "SELECT $last_run")"
	is "$start: gaps" "$(query "SELECT count(*) >= 3 FROM gaps JOIN processes USING (process_id)
		WHERE run_id = $last_run")" 1
	is "$start: events lost" "$(query "SELECT sum(lost_events) FROM processes WHERE
		run_id = $last_run")" 0
done
pass
