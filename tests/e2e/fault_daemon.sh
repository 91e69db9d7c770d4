#!/bin/sh
# The daemon in trouble: stopped, killed and started again, two of them on one file, a database that
# another program keeps locked, two hundred programs, no descriptors left. Programs keep their output
# and status; what was stored stays, and says how complete it is.
# shellcheck disable=SC2317 # functions that until_true calls
. "$(dirname "$0")/lib.sh"
need sqlite3 python3

sizes="size_bytes IN (601, 1603, 70001) AND kind IN ('malloc', 'calloc', 'realloc', 'free')"
integrity() { is "$1: integrity" "$(sqlite3 "$HEAPTAPE_DB" 'PRAGMA integrity_check')" ok; }
calls() { "$programs/mortal" counts read | awk -F, '{ n += $2 } END { print n + 0 }'; }
stored() { query "SELECT count(*) FROM events WHERE run_id = $last_run AND $sizes"; }
state_is() { [ "$(query "SELECT state FROM runs WHERE run_id = $last_run")" = "$1" ]; }

# begin OPTIONS: records mortal in the background until its counts grow.
begin() {
	how=$1
	shift
	rm -f counts
	"$heaptape" run -q "$@" -- "$programs/mortal" counts "$how" >out 2>err </dev/null &
	recorder=$!
	until_true has_counted
	own=$(pgrep -P $recorder -x heaptaped)
}
# waits: for half a second the program has done nothing. It had $before before.
waits() {
	was=$before
	sleep 0.5
	before=$(calls)
	[ "$before" = "$was" ]
}
has_counted() { [ "$(calls)" -gt 100 ]; }

# Stopped: the program waits, and nothing is lost; or it drops, and every drop is counted.
begin exit=3000000
kill -STOP "$own"
before=$(calls)
until_true waits
is "stopped: the program waits" "$([ "$(calls)" -lt 3000000 ] && echo yes)" yes
sleep 1
kill -CONT "$own"
wait $recorder
is "stopped: status" $? 3
is "stopped: events" "$(stored)" "$(calls)"
is "stopped: waited" "$(query "SELECT wait_ns > 900000000, lost_events FROM processes")" 1,0

begin exit=3000000 --on-full=drop --no-stacks
kill -STOP "$own"
sleep 1
kill -CONT "$own"
wait $recorder
is "dropping: status" $? 3
is "dropping: calls" "$(calls)" 3000000
is "dropping: not all is there" "$([ "$(stored)" -lt 3000000 ] && echo yes)" yes
is "dropping: every drop is counted" "$(query "SELECT state, max(seq) + 1 = processes.events +
	processes.lost_events OR processes.events + processes.lost_events > max(seq) AS counted FROM runs
	JOIN processes USING (run_id) JOIN events USING (process_id) WHERE runs.run_id = $last_run")" \
	incomplete,1
is "dropping: none is missing" "$(query "SELECT events + lost_events >= 3000000 FROM processes
	WHERE run_id = $last_run")" 1
integrity stopped
rm -f heaptape.db*

# Killed: the program runs on; the run is cut, and says so; names are looked up all the same.
begin exit=9000000
sleep 0.5
kill -KILL "$own"
wait $recorder
is "killed: status" $? 3
has "killed: one line of the program's" err 'lost the connection to heaptaped'
has "killed: one of the command's" err 'the daemon ended'
is "killed: run" "$(query "SELECT state, exit_code, ended_at > started_at FROM runs WHERE
	run_id = $last_run")" cut,3,1
is "killed: process" "$(query "SELECT ending, events > 0 FROM processes WHERE
	run_id = $last_run")" cut,1
is "killed: rows agree" "$(query "SELECT p.events = (SELECT count(*) FROM events WHERE run_id =
	$last_run) AS agree FROM processes p WHERE run_id = $last_run")" 1
"$heaptape" report >o
has "killed: note" o 'heaptaped (pid [0-9]*) was killed'
until_true sh -c "'$heaptape' report | grep -q 'mortal.c:'"
integrity killed

# The daemon and the command: the next daemon ends their run.
begin kill=3000000
kill -KILL $recorder "$own"
killed_run=$(sqlite3 "$HEAPTAPE_DB" "SELECT max(run_id), state FROM runs")
is "both killed" "${killed_run#*|}" running
"$heaptape" run -q -- "$programs/first" >o 2>e || fail "the next run: $(cat e)"
is "both killed, then another run" "$(sqlite3 "$HEAPTAPE_DB" "SELECT state FROM runs ORDER BY run_id
	DESC LIMIT 2" | tr '\n' ' ')" "complete cut "
invariants

# Killed and started again at the same place, into the same file; then two daemons on one file.
serve() { # SOCKET OPTIONS…: its pid in $daemon
	path=$1
	shift
	"$B/heaptaped" --socket "$T/$path" --db "$HEAPTAPE_DB" "$@" 2>"$path.log" &
	daemon=$!
	until_true sh -c "[ -S '$T/$path' ] && '$heaptape' run -q --socket '$T/$path' -- true"
}
serve one
"$heaptape" run -q --socket "$T/one" -- "$programs/steady" 5000 "$T/end" >out 2>err </dev/null &
recorder=$!
until_true grep -q ready out
kill -KILL $daemon
serve one
touch end
wait $recorder
is "started again: status" $? 0
record "$programs/threads" 3 2000 1
is "started again: killed run" "$(query "SELECT state, label FROM runs WHERE command LIKE '%steady%'")" \
	'cut,""'
first=$daemon
run_options="--socket $T/one"
record "$programs/threads" 3 2000 1
compare_rows
recorded_whole
serve two
"$heaptape" run -q --label a --socket "$T/one" -- "$programs/churn" 300000 2 >o 2>err1 &
a=$!
"$heaptape" run -q --label b --socket "$T/two" -- "$programs/churn" 300000 2 >o 2>err2 &
b=$!
wait $a
is "two daemons: first" $? 0
wait $b
is "two daemons: second" $? 0
is "two daemons" "$(query "SELECT label, state, sum(frees) = 600000 FROM runs JOIN processes
	USING (run_id) WHERE label IN ('a', 'b') GROUP BY label" | tr '\n' ' ')" \
	"a,complete,1 b,complete,1 "
kill -TERM $first $daemon
wait $first $daemon
invariants
integrity "two daemons"

# Locked by another program for a while: everybody waits. For too long: recording stops, the program
# does not; and nothing of before is lost.
cat >lock.py <<'LOCK'
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute('BEGIN EXCLUSIVE')
open('locked', 'w').close()
time.sleep(float(sys.argv[2]))
LOCK
lock() {
	rm -f locked
	python3 lock.py "$HEAPTAPE_DB" "$1" &
	locker=$!
	until_true [ -e locked ]
}
rm -f heaptape.db*
serve three --patience 3
three=$daemon
begin exit=6000000 --socket "$T/three"
lock 1.5
wait $recorder
is "locked a while: status" $? 3
is "locked a while: events" "$(stored)" 6000000
wait $locker

begin exit=60000000 --socket "$T/three"
lock 60
wait $recorder
is "locked for ever: status" $? 3
is "locked for ever: it ran on" "$(calls)" 60000000
code=0
"$heaptape" run -q --socket "$T/three" -- true >o 2>e || code=$?
is "locked for ever: another run" $code 3
has "locked for ever: another run" e 'another program keeps it locked'
kill $locker
wait $locker
until_true state_is cut
has "locked for ever: said" three.log 'another program keeps it locked'
is "locked for ever: run" "$(query "SELECT runs.exit_code, sum(events) > 0 FROM runs JOIN processes
	USING (run_id) WHERE runs.run_id = $last_run")" 3,1
record "$programs/first"
integrity locked
is "locked: rows of before" "$(query "SELECT count(*) FROM events WHERE $sizes AND run_id =
	(SELECT min(run_id) FROM processes WHERE executable LIKE '%mortal')")" 6000000
kill -TERM "$three"
wait "$three"

# Two hundred at once; then with few descriptors: who cannot be recorded runs all the same.
cat >many.sh <<'MANY'
i=0
while [ $i -lt $1 ]; do
	"$2" 1000 2 &
	i=$((i + 1))
done
wait
MANY
rm -f heaptape.db*
serve four
run_options="-q --socket $T/four"
record sh many.sh 200 "$programs/steady"
is "two hundred: status" "$status" 0
is "two hundred: all is there" "$(query "SELECT count(*) FROM events WHERE size_bytes = 555")" 400000
recorded_whole
most_kb=$(sed -n 's/VmHWM:[^0-9]*\([0-9]*\).*/\1/p' /proc/$daemon/status)
nm "$B/heaptaped" | grep -q '__[at]san_init' || [ "$most_kb" -lt 120000 ] ||
	fail "two hundred: the daemon took $most_kb KiB"
until_true sh -c "[ \$(ls /proc/$daemon/fd | wc -l) -lt 25 ]"
kill -TERM $daemon
wait $daemon
if command -v prlimit >/dev/null; then
	serve five
	prlimit --pid $daemon --nofile=90:90
	run_options="-q --socket $T/five"
	record sh many.sh 100 "$programs/steady"
	is "few descriptors: status" "$status" 0
	is "few descriptors: all ran" "$(grep -c ready out)" 100
	is "few descriptors: said" "$(query "SELECT state, (SELECT count(*) > 0 FROM notes WHERE text
		LIKE '%no descriptor left%') AS said FROM runs WHERE run_id = $last_run")" incomplete,1
	record "$programs/threads" 2 1000 1
	compare_rows
	kill -TERM $daemon
	wait $daemon
	invariants
	integrity "few descriptors"
fi
pass
