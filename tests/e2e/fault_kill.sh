#!/bin/sh
# kill -9 of the program, of the daemon, of everything: what was recorded stays readable and says how
# it ended; a program without its daemon runs on.
. "$(dirname "$0")/lib.sh"

# start: records steady in the background; its pid in $pid, the recorder's in $recorder.
start() {
	rm -f heaptape.db* out err end
	: >out
	"$heaptape" run -- "$programs/steady" "$@" >out 2>err </dev/null &
	recorder=$!
	until_true grep -q ready out
	pid=$(sed -n 's/ready //p' out)
	[ -n "$pid" ] || die "the program did not start: $(cat err)"
}
daemon_of() { pgrep -P "$1" -x heaptaped || pgrep -x heaptaped -f -- "$T"; }

start 5000 "$T/end"
kill -KILL "$pid"
wait $recorder
is "program killed: status" $? 137
is "program killed: events" "$(query "SELECT count(*) FROM events WHERE size_bytes = 555")" 5000
is "program killed: live" "$(query "SELECT live_blocks >= 5000, ending, exit_signal FROM processes")" \
	"1,signaled,9"
invariants

start 5000 "$T/end"
daemon=$(daemon_of $recorder)
if [ -n "$daemon" ]; then
	kill -KILL "$daemon"
	touch end
	wait $recorder
	is "daemon killed: the program's status" $? 0
	[ -s err ] || fail "daemon killed: nobody said so"
	"$heaptape" report >o 2>e || fail "daemon killed: report: $(cat e)"
	is "daemon killed: state" "$(query "SELECT state IN ('cut', 'running') FROM runs")" 1
else
	fail "no daemon found"
fi

start 5000 "$T/end"
daemon=$(daemon_of $recorder)
kill -KILL $recorder "$daemon" "$pid"
wait $recorder
is "all killed" $? 137
"$heaptape" report >o 2>e || fail "all killed: report: $(cat e)"
"$heaptape" runs >o 2>e || fail "all killed: runs: $(cat e)"

# SIGTERM to the daemon: it ends by itself with everything written; the program runs on.
start 5000 "$T/end"
daemon=$(daemon_of $recorder)
kill -TERM "$daemon"
touch end
wait $recorder
is "daemon stopped: the program's status" $? 0
is "daemon stopped: events" "$(query "SELECT count(*) FROM events WHERE size_bytes = 555
	AND kind = 'malloc'")" 5000

# No daemon at all: one line, and the program runs.
HEAPTAPE_SOCKET=$T/nobody LD_PRELOAD=$B/libheaptape.so "$programs/first" >out 2>err
is "no daemon: status" $? 0
[ "$(wc -l <err)" = 1 ] || fail "no daemon: said '$(cat err)'"
LD_PRELOAD=$B/libheaptape.so "$programs/first" >out 2>err
is "no socket named: status and words" "$?:$(cat err)" "0:"
pass
