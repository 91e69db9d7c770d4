#!/bin/sh
# A daemon that stays, as under a supervisor: programs started by hand and by `heaptape run` record
# into its one database, each a run that says how it ended; SIGTERM ends it with all written, and the
# next one goes on in the same file.
. "$(dirname "$0")/lib.sh"

# daemon_start: in the background; its pid in $daemon.
daemon_start() {
	"$B/heaptaped" --socket "$T/socket" --db "$HEAPTAPE_DB" >>daemon.log 2>&1 &
	daemon=$!
	until_true [ -S socket ]
}
by_hand() { HEAPTAPE_SOCKET=$T/socket LD_PRELOAD=$B/libheaptape.so "$@"; }

daemon_start
by_hand "$programs/family" >out 2>err
is "by hand: status" $? 42
by_hand sh -c 'kill -TERM $$' 2>err
is "killed by hand: status" $? 143
"$heaptape" run -q --socket "$T/socket" --label through -- sh -c 'exit 9'
is "run --socket: status" $? 9
# Not by the function, which would be a process around it that is killed in its place.
HEAPTAPE_SOCKET=$T/socket LD_PRELOAD=$B/libheaptape.so "$programs/steady" 100 "$T/never" >out 2>err &
steady=$!
until_true answers "SELECT count(*) FROM runs WHERE state <> 'running'" 3
until_true grep -q ready out
# Before Linux 6.15 only its parent can tell which signal ended a program.
is "how they ended" "$(query "SELECT state, exit_code, coalesce(exit_signal, 15) FROM runs
	WHERE state <> 'running' ORDER BY exit_code" | tr '\n' ' ')" "complete,,15 complete,9,15 complete,42,15 "
"$heaptape" runs >o || fail "runs: $?"
kill -TERM $daemon
wait $daemon
is "the daemon's end" $? 0
is "what came before" "$(query "SELECT count(*) FROM events WHERE size_bytes = 555")" 100
is "a program that outlives it" "$(query "SELECT state FROM runs WHERE run_id = 4")" cut
kill -0 $steady || fail "the program died with the daemon"
{ kill $steady && wait $steady; } 2>/dev/null

daemon_start
by_hand "$programs/first" >out 2>err
is "after a restart: status" $? 0
by_hand sh -c 'exec sh -c "exit 5"'
is "by hand, exec: status" $? 5
until_true answers "SELECT exit_code FROM runs WHERE run_id = 6" 5
kill -TERM $daemon
wait $daemon
is "by hand, exec" "$(query "SELECT exit_code, (SELECT group_concat(ending) FROM processes p WHERE p.run_id = r.run_id)
	AS endings FROM runs r WHERE run_id = 6")" '5,"exec,exited"'
is "after a restart" "$(query "SELECT state, exit_code FROM runs WHERE run_id = 5")" complete,0
is "nothing to complain about" "$(cat daemon.log)" ""
invariants
pass
