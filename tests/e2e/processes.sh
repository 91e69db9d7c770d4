#!/bin/sh
# fork, exec, vfork, posix_spawn, death by signal: each process has its row and its own history.
. "$(dirname "$0")/lib.sh"

record "$programs/family"
is "status" "$status" 42
pid_of() { sed -n "s/^$1,//p" out; }

# rows NAME: ending and exit code of each program this process has been.
rows() {
	query "SELECT ending, exit_code FROM processes WHERE pid = $(pid_of "$1")
		ORDER BY started_ns" | tr '\n' ' '
}
# sizes NAME SIZE: allocations and frees of blocks of that size in this process.
sizes() {
	query "SELECT sum(kind = 'malloc'), sum(kind = 'free') FROM events JOIN processes
		USING (process_id) WHERE pid = $(pid_of "$1") AND size_bytes = $2"
}

is "parent" "$(rows parent)" "exited,42 "
is "parent's block" "$(sizes parent 1234)" "1,1"
is "forked" "$(rows forked)" "exited,3 "
is "forked: its own block" "$(sizes forked 2345)" "1,1"
is "forked: the inherited block" "$(sizes forked 1234)" "0,1"
is "forked: parent" "$(query "SELECT parent.pid FROM processes child JOIN processes parent ON
	parent.process_id = child.parent_process_id WHERE child.pid = $(pid_of forked)")" \
	"$(pid_of parent)"
is "exec" "$(rows forked-exec)" "exec, exited,7 "
is "exec: before" "$(sizes forked-exec 3456)" "1,1"
is "exec: after" "$(sizes forked-exec 4321)" "1,0"
is "vfork" "$(rows vforked)" "exited,7 "
is "vfork: its block" "$(sizes vforked 4321)" "1,0"
is "posix_spawn" "$(rows spawned)" "exited,7 "
is "posix_spawn: its block" "$(sizes spawned 4321)" "1,0"
is "killed" "$(query "SELECT ending IN ('vanished', 'signaled') FROM processes
	WHERE pid = $(pid_of killed)")" 1
is "killed: its block" "$(sizes killed 5432)" "1,1"
is "left: its block" "$(sizes left 6543)" "1,1"
"$heaptape" report >report.out || fail "report"
has "a child's free of its parent's block" report.out '^  inherited .* by forked processes'
is "all in one run" "$(query "SELECT count(DISTINCT run_id) FROM processes")" 1
recorded_whole

# Short lives: a parent and its child may both wait to be heard when the daemon has time for them.
# shellcheck disable=SC2016
record sh -c 'for i in $(seq 60); do sh -c "env true; :"; done'
tree_whole 122
has "processes that became another program are one" err '^  processes  *122,'
pass
