#!/bin/sh
# Recording is switched while the program runs: what is live afterwards is exactly what the program
# says it has, block by block.
. "$(dirname "$0")/lib.sh"
need jq

mkfifo in out
exec 3<>in 4<>out

# begin OPTIONS…: starts the program.
begin() {
	"$heaptape" run -q "$@" -- "$programs/switched" <in >out 2>err &
	command=$!
	ask n
	wait_for "SELECT count(*) FROM processes WHERE run_id = $last_run" 1
}

# wait_for SQL ROW: until the query gives it.
wait_for() { until_true answers "$1" "$2"; }

# ask LETTERS: the program does them and answers.
ask() {
	letters=$1
	while [ -n "$letters" ]; do
		rest=${letters#?}
		printf '%s' "${letters%"$rest"}" >&3
		case $letters in
		c*) ;;
		q*) ;;
		*) read -r _ <&4 ;;
		esac
		letters=$rest
	done
}

# has_live WHAT PID: the database has the live blocks that the process prints. PREFIX c: the child.
has_live() {
	what=$1 pid=$2 prefix=${3:-}
	printf '%sp' "$prefix" >&3
	: >printed
	while read -r row <&4; do
		case $row in
		*p\ *) break ;;
		*) echo "$row" >>printed ;;
		esac
	done
	"$heaptape" mark --json >mark.json 2>mark.err || fail "$what: mark: $(cat mark.err)"
	sort -t, -k1,1n printed >expected
	query "SELECT address, size_bytes FROM allocations WHERE freed_at_ns IS NULL AND
		(size_bytes IN (16, 48, 112, 1024, 4096) OR size_bytes >= 40960) AND process_id =
		(SELECT process_id FROM processes WHERE pid = $pid AND run_id = $last_run)
		ORDER BY address" >rows
	same "$what: blocks live" rows expected
	is "$what: totals" "$(query "SELECT live_blocks - (SELECT count(*) FROM allocations a
		WHERE a.process_id = p.process_id AND freed_at_ns IS NULL) AS n FROM processes p
		WHERE pid = $pid AND run_id = $last_run")" 0
	is "$what: stacks' totals" "$(query "SELECT live_blocks = (SELECT sum(live_blocks) FROM
		stack_totals s WHERE s.process_id = p.process_id) AS n FROM processes p
		WHERE pid = $pid AND run_id = $last_run")" 1
}

control() {
	"$heaptape" "$@" >said 2>said.err || fail "$*: $(cat said.err)"
}
pid_of() { query "SELECT pid FROM processes WHERE run_id = $last_run ORDER BY process_id LIMIT 1 OFFSET $1"; }
finish_run() {
	ask q
	wait "$command"
	is "$1: status" $? 0
	invariants --run "$(query "SELECT $last_run")"
	is "$1: events lost" "$(query "SELECT sum(lost_events) FROM processes WHERE run_id = $last_run")" 0
}

# Dormant: nothing is recorded; then what is live, from all threads, ended and asleep ones too.
begin --dormant
ask aftwwax
pid=$(pid_of 0)
wait_for "SELECT count(*) FROM gaps" 1
"$heaptape" report >o 2>&1
has "dormant report" o 'started dormant'
is "dormant" "$(query "SELECT events, live_blocks FROM processes WHERE run_id = $last_run")" "0,0"
"$heaptape" resume --wait 0 >said 2>&1 || fail "resume: $(cat said)"
has "nothing allocates" said "process $pid has not allocated since; it will follow"
ask n
control resume
has "resumed" said "process $pid: .* blocks live"
has_live "after the switch" "$pid"
ask afrtx
has_live "recorded since" "$pid"
is "a gap" "$(query "SELECT count(*), sum(known_blocks), sum(complete) FROM gaps JOIN processes
	USING (process_id) WHERE run_id = $last_run")" "1,0,1"

# A pause: what is freed meanwhile is gone afterwards, what is kept is the same block as before.
control pause
has "paused" said 'is paused'
before=$(query "SELECT sum(events) FROM processes WHERE run_id = $last_run")
ask afrawx
is "nothing is recorded" "$(query "SELECT sum(events) FROM processes WHERE run_id = $last_run")" "$before"
"$heaptape" report >o 2>&1
has "paused report" o 'recording is off'
"$heaptape" resume --wait 0 >said 2>&1 || fail "resume: $(cat said)"
sleep 0.5
ask n
control resume
has_live "after the pause" "$pid"
is "vanished" "$(query "SELECT count(*) = (SELECT known_blocks - kept_blocks FROM gaps ORDER BY from_ns
	DESC LIMIT 1) AS n FROM allocations WHERE run_id = $last_run AND freed_at_ns IS NOT NULL AND
	freed_by_thread_id IS NULL")" 1
is "kept ones have their stacks" "$(query "SELECT count(*) > 0 FROM events WHERE run_id = $last_run
	AND kind = 'live' AND old_address AND stack_id AND old_stack_id = stack_id")" 1
ask rfan
has_live "and on" "$pid"
finish_run "switched"
"$heaptape" report >o 2>&1
has "report" o 'Times without recording'

# Children do as their parent does, and follow their run.
begin --dormant
ask akcacf
wait_for "SELECT count(*) FROM processes WHERE run_id = $last_run" 2
parent=$(pid_of 0)
child=$(pid_of 1)
control resume --wait 0
ask ncn
control resume
is "both" "$("$heaptape" resume --json | jq -c '[.processes[].state]')" '["follows","follows"]'
has_live "the parent" "$parent"
ask cacr
has_live "the child" "$child" c
control pause
ask acacf
control resume --wait 0
sleep 0.5
ask ncn
control resume
has_live "the parent, again" "$parent"
has_live "the child, again" "$child" c
finish_run "children"

# A mark of a dormant program lists once; the program is dormant again.
begin --dormant
ask aft
pid=$(pid_of 0)
{ sleep 0.4; ask n; } &
"$heaptape" mark once >said 2>said.err || fail "mark: $(cat said.err)"
wait $!
has "mark" said "'once' at"
has "dormant again" said 'nothing is recorded from here on, as before'
before=$(query "SELECT sum(events) FROM processes WHERE run_id = $last_run")
ask af
is "as dormant as before" "$(query "SELECT sum(events) FROM processes WHERE run_id = $last_run")" "$before"
is "the row" "$(query "SELECT label, processes, missing, live_blocks = (SELECT listed_blocks FROM gaps
	JOIN processes USING (process_id) WHERE run_id = $last_run ORDER BY from_ns LIMIT 1) AS n
	FROM marks WHERE run_id = $last_run")" "once,1,0,1"
finish_run "mark"

# What came after a mark and is still live.
begin
ask a
control mark base
ask atf
control mark later
"$heaptape" leaks --all --since base --json >leaks.json
is "younger" "$(jq '[.[].live_blocks] | add' leaks.json)" \
	"$(query "SELECT count(*) FROM allocations WHERE run_id = $last_run AND freed_at_ns IS NULL AND
	allocated_at_ns > (SELECT at_ns FROM marks WHERE label = 'base')")"
"$heaptape" mark base >o 2>&1
is "twice the same label" $? 2
finish_run "since"

# Runs that cannot be asked.
"$heaptape" pause >o 2>&1
is "ended: status" $? 3
has "ended" o 'has ended'
"$heaptape" resume 77 >o 2>&1
is "no such run: status" $? 3
has "no such run" o "no run '77'"
"$heaptape" mark --wait nine >o 2>&1
is "wrong use" $? 2
begin
daemon=$(query "SELECT socket FROM runs WHERE run_id = $last_run")
[ -S "$daemon" ] || fail "no socket at '$daemon'"
is "owner only" "$(stat -c %a "$daemon" "${daemon%/*}" | tr '\n' ' ')" "600 700 "
mv "$daemon" "$daemon.away"
"$heaptape" pause >o 2>&1
is "daemon gone: status" $? 3
has "daemon gone" o 'the daemon of run .* is gone'
mv "$daemon.away" "$daemon"
finish_run "daemon away"
pass
