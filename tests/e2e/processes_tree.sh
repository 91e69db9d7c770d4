#!/bin/sh
# Process trees: children made behind the C library's back, a daemon whose parent is gone, a number
# used twice, pipelines. Each program a process has been is a row with its parent and its ending.
. "$(dirname "$0")/lib.sh"

pid_of() { sed -n "s/^$1,\([0-9]*\),.*/\1/p" out; }
# row NAME: ending, exit code, blocks of that size, and whether the program's first row is its parent.
row() {
	query "SELECT ending, exit_code, (SELECT count(*) FROM events e WHERE e.process_id =
			p.process_id AND kind = 'malloc' AND size_bytes = $2) AS blocks, parent_process_id = (SELECT min(process_id) FROM processes
			WHERE run_id = p.run_id) AS child
		FROM processes p WHERE pid = $(pid_of "$1") AND run_id = $last_run
		ORDER BY process_id" | tr '\n' ' '
}

record "$programs/children" raw
is "status" "$status" 20
is "clone" "$(row clone 7001)" "exited,11,10,1 "
is "clone system call" "$(row raw 7002)" "exited,12,10,1 "
is "_Fork" "$(row _Fork 7003)" "exited,13,10,1 "
ending=$(row silent 7005)
case $ending in # how it ended is known from Linux 6.15 on
"exited,15,10,1 " | "vanished,,10,1 ") ;;
*) fail "exit by system call: $ending" ;;
esac
case $(row exec 7006) in # that it went on, from Linux 6.9 on
"exec,,10,1 exited,16,0,1 " | "vanished,,10,1 exited,16,0,1 ") ;;
*) fail "exec by system call: $(row exec 7006)" ;;
esac
is "parent's own blocks" "$(query "SELECT count(*) FROM events WHERE kind = 'malloc' AND
	size_bytes = 7000 AND process_id = (SELECT min(process_id) FROM processes)")" 5
recorded_whole

# Who borrows the parent's memory leaves its record as it was.
identical_but_pids() {
	"$@" | sed 's/,[0-9]*,/,PID,/' >plain.out
	record "$@"
	sed 's/,[0-9]*,/,PID,/' out >recorded.out
	same "output of $*" recorded.out plain.out
	recorded_whole
}
identical_but_pids "$programs/children" borrowed
is "status" "$status" 20
is "system and popen" "$(query "SELECT ending, exit_code, parent_process_id = (SELECT
	min(process_id) FROM processes WHERE run_id = $last_run) AS child FROM processes WHERE run_id = $last_run
	AND command LIKE 'sh -c %' ORDER BY process_id" | tr '\n' ' ')" "exited,6,1 exited,7,1 "

identical_but_pids "$programs/children" again
if [ "$(pid_of second)" -gt 0 ] 2>/dev/null; then
	is "same number" "$(pid_of second)" "$(pid_of first)"
	is "two processes" "$(row first 7008)$(row second 7009)" \
		"exited,18,10,1 exited,19,0,1 exited,18,0,1 exited,19,10,1 "
fi

record "$programs/children" daemonise
is "status" "$status" 20
until_true answers "SELECT count(*) FROM processes WHERE ended_ns IS NULL" 0
is "daemon" "$(query "SELECT p.ending, p.exit_code, q.pid = $(pid_of left), q.exit_code, (SELECT
	count(*) FROM events e WHERE e.process_id = p.process_id AND size_bytes = 7011) AS made FROM processes p
	JOIN processes q ON q.process_id = p.parent_process_id WHERE p.run_id = $last_run
	AND p.exit_code = 5")" "exited,5,1,4,20"

# A pipeline: every part with its command line, its ending and the shell as its parent.
record sh -c 'seq 500 | cat | sort -r | head -1; exit 9'
is "pipeline" "$(query "SELECT command, ending, exit_code FROM processes WHERE run_id = $last_run
	AND ending <> 'exec' ORDER BY command" | tr '\n' ' ')" "cat,exited,0 head -1,exited,0 \
seq 500,exited,0 sh -c 'seq 500 | cat | sort -r | head -1; exit 9',exited,9 sort -r,exited,0 "
is "pipeline: one parent" "$(query "SELECT count(*), count(DISTINCT parent_process_id) FROM
	processes WHERE run_id = $last_run AND parent_process_id IS NOT NULL AND ending <> 'exec'")" 4,1
recorded_whole
pass
