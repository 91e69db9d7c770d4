#!/bin/sh
# While a program is being recorded, runs, report and sql answer with what has arrived.
. "$(dirname "$0")/lib.sh"
need perl

"$heaptape" run --label live -- "$programs/steady" 100 "$T/end" >out 2>err </dev/null &
recorder=$!
until_true grep -q ready out
# They come with the daemon's next commit.
until_true answers "SELECT count(*) FROM events WHERE size_bytes = 555 AND kind = 'malloc'" 100
is "state" "$(query "SELECT state FROM runs")" running
is "events so far" "$(query "SELECT count(*) FROM events WHERE size_bytes = 555
	AND kind = 'malloc'")" 100
"$heaptape" runs >runs.out 2>&1 || fail "runs: $(cat runs.out)"
has "runs" runs.out live
"$heaptape" report >report.out 2>&1 || fail "report: $(cat report.out)"
touch end
wait $recorder
is "status" $? 0
is "state" "$(query "SELECT state FROM runs")" complete
# What it calls itself meanwhile.
"$heaptape" run -q --label renamed -- perl -e '$0 = "another name"; until (-e $ARGV[0]) { select undef, undef, undef, 0.02 }' \
	"$T/end2" >out 2>err </dev/null &
recorder=$!
until_true answers "SELECT title FROM processes JOIN runs USING (run_id) WHERE label = 'renamed'" 'another name'
touch end2
wait $recorder
is "renamed: status" $? 0
is "renamed: title" "$(query "SELECT title FROM processes JOIN runs USING (run_id) WHERE label = 'renamed'")" 'another name'
is "steady: title" "$(query "SELECT title FROM processes JOIN runs USING (run_id) WHERE label = 'live'")" ''
last_run="(SELECT run_id FROM runs WHERE label = 'live')"
is "frees" "$(query "SELECT count(*) FROM events WHERE size_bytes = 555 AND kind = 'free'")" 100
recorded_whole
pass
