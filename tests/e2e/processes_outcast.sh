#!/bin/sh
# Children of a process that has changed its root, user or mount namespace since it connected cannot
# reach the daemon's socket: they come through their parent's connection. Who cannot do that either is
# counted, and a fork that failed is not waited for.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || skip "only root can change its root and its user"
need setpriv
mkdir empty
chmod 755 "$T"

# outcast WAYS CHILDREN: all children are recorded.
outcast() {
	record "$programs/outcast" "$1" "$2" "$3"
	is "$1: status" "$status" 7
	is "$1: messages" "$(grep -v '^heaptape: run\|^  ' err)" ""
	# One that was not waited for ends later.
	until_true answers "SELECT state FROM runs WHERE run_id = $last_run" complete
	is "$1: children" "$(query "SELECT count(*), sum(exit_code) FROM processes p WHERE run_id = $last_run
		AND forked AND (SELECT count(*) FROM events e WHERE e.process_id = p.process_id
			AND kind = 'malloc' AND size_bytes = 7001) = 100
		AND parent_process_id IS NOT NULL")" "$3,$((9 * $3))"
	recorded_whole
}
outcast c "$T/empty" 3
outcast u "$T/empty" 3
outcast cu "$T/empty" 3
outcast cub "$T/empty" 3
outcast cul "$T/empty" 3
outcast tcu "$T/empty" 40
outcast tcul "$T/empty" 20
outcast cud "$T/empty" 5
outcast tcudl "$T/empty" 5
outcast "" "$T/empty" 20
outcast l "$T/empty" 20
[ "$("$programs/outcast" m "$T/empty" 0)" = "0 born, 0 failed, 0 good" ] && outcast mt "$T" 10

# Nobody can take them in: each says so, and they are counted.
record "$programs/outcast" n "$T/empty" 3
is "no descriptors: status" "$status" 7
is "no descriptors" "$(cat out)" "3 born, 0 failed, 3 good"
is "no descriptors: messages" "$(grep -c 'cannot reach heaptaped.*the program goes on unrecorded' err)" 3
is "no descriptors: state" "$(query "SELECT state FROM runs WHERE run_id = $last_run")" incomplete
is "no descriptors: forked" "$(query "SELECT count(*) FROM processes WHERE run_id = $last_run AND
	forked")" 0
"$heaptape" report >o 2>e || fail "report"
has "no descriptors: report" o 'children .* not recorded: 3'

# What they become by exec cannot be recorded; it is not asked to, and counted.
as_nobody='setpriv --reuid=65534 --regid=65534 --clear-groups'
record sh -c "$as_nobody ls -d /; $as_nobody ls -d /; exit 5"
is "exec as nobody" "$status:$(tr '\n' ' ' <out)" "5:/ / "
is "exec as nobody: messages" "$(grep -v '^heaptape: run\|^  ' err)" ""
is "exec as nobody: state" "$(query "SELECT state FROM runs WHERE run_id = $last_run")" incomplete
"$heaptape" report >o 2>e || fail "report"
is "exec as nobody: report" "$(grep -c ' ls -d / *heaptape cannot be reached' o)" 2

# Failed forks: nobody is waited for. A process that runs on is what tells.
record "$programs/outcast" up "$T/empty" 3
is "failed forks" "$(cat out)" "0 born, 3 failed, 0 good"
recorded_whole
is "failed forks: announced" "$(query "SELECT count(*) FROM notes WHERE run_id = $last_run")" 0
invariants
pass
