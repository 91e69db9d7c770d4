#!/bin/sh
# Programs that cannot be recorded, anywhere in the tree: each is a row with its command, its ending and
# the reason, the run is incomplete, and the program itself notices nothing. What can be recorded is no
# such row: a program that never allocates, one that could not be executed.
. "$(dirname "$0")/lib.sh"
need gcc python3

cat >plain.c <<'END'
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	if (argc > 1)
		return atoi(argv[1]);
	for (int i = 0; i < 1000; i++)
		if (!malloc(1000))
			return 1;
	puts("ran");
	return 9;
}
END
gcc -fno-builtin -o plain plain.c || die "gcc"
gcc -fno-builtin -static -o static plain.c || die "gcc -static"
printf '#!%s/static\n' "$T" >script
chmod +x script

# lacks COUNT PATTERN WHAT PROGRAM ARGS...: output and status are as ever; so many rows have the reason.
lacks() {
	count=$1 pattern=$2 what=$3
	shift 3
	plain=0
	"$@" >plain.out 2>plain.err </dev/null || plain=$?
	record "$@"
	is "$what: status" "$status" "$plain"
	same "$what: output" out plain.out
	is "$what: messages" "$(grep -v '^heaptape: \|^  ' err)" "$(cat plain.err)"
	is "$what: rows" "$(query "SELECT count(*) FROM processes WHERE run_id = $last_run AND
		unrecorded_reason LIKE '%$pattern%' AND events = 0")" "$count"
	is "$what: other reasons" "$(query "SELECT unrecorded_reason FROM processes WHERE run_id = $last_run AND
		unrecorded_reason NOT LIKE '%$pattern%'")" ""
	is "$what: state" "$(query "SELECT state FROM runs WHERE run_id = $last_run")" incomplete
	has "$what: summary" err "^  unrecorded  .*$pattern"
	"$heaptape" report >report.out
	has "$what: report" report.out '^Not recorded'
	has "$what: report" report.out 'incomplete: some programs are not recorded\|^Nothing was recorded'
	invariants
}
# endings: those of the programs that were not recorded.
endings() {
	query "SELECT ending, exit_code, exit_signal FROM processes WHERE run_id = $last_run AND
		unrecorded_reason IS NOT NULL ORDER BY process_id" | tr '\n' ' '
}

lacks 1 'statically linked' "child of a shell" sh -c './static; exit 4'
is "child of a shell: its end" "$(endings)" "exited,9, "
is "child of a shell: parent" "$(query "SELECT command, (SELECT command FROM processes WHERE
	process_id = p.parent_process_id) AS parent FROM processes p WHERE run_id = $last_run AND
	unrecorded_reason IS NOT NULL")" "./static,sh -c './static; exit 4'"
lacks 1 'statically linked' "exec" sh -c 'exec ./static 7'
is "exec: its end" "$(endings)" "exited,7, "
lacks 1 'statically linked' "a script" sh -c './script; exit 5'
lacks 1 'statically linked' "by env" env A=b ./static
lacks 1 'statically linked' "itself" ./static
is "itself: its end" "$(endings)" "exited,9, "
"$heaptape" report --json >json || fail "report --json: $?"
python3 -c 'import json
run = json.load(open("json"))
assert run["run"]["unrecorded_processes"] == 1, run["run"]
assert "statically" in run["processes"][0]["unrecorded_reason"]' || fail "report --json: what it says"
"$heaptape" runs --csv >runs.out
has "runs" runs.out 'unrecorded_processes'

# Every way to start one.
cat >ways.py <<'END'
import os, subprocess, sys
program = './' + sys.argv[1]
def child(f):
	pid = os.fork()
	if not pid:
		try:
			f()
		finally:
			os._exit(99)
	return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
spawned = [os.posix_spawn(program, [program, '3'], os.environ), os.posix_spawnp(sys.argv[1], [program, '4'], os.environ)]
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in spawned])
print(child(lambda: os.execv(program, [program, '5'])), child(lambda: os.execvp(sys.argv[1], [program, '6'])))
print(child(lambda: os.execve(os.open(program, os.O_RDONLY), [program, '7'], os.environ)))
print(subprocess.call([program, '8']), subprocess.run([program]).returncode)
END
PATH=$T:$PATH
lacks 7 'statically linked' "ways" /usr/bin/python3 ways.py static
is "ways: ends" "$(query "SELECT exit_code FROM processes WHERE run_id = $last_run AND unrecorded_reason
	IS NOT NULL ORDER BY 1" | tr '\n' ' ')" "3 4 5 6 7 8 9 "
is "ways: parents" "$(query "SELECT count(*) FROM processes WHERE run_id = $last_run AND
	unrecorded_reason IS NOT NULL AND parent_process_id IS NULL")" 0

# One that a static program starts is recorded, as is what it was before.
lacks 1 'statically linked' "a static launcher" sh -c './static 3; ./plain'
gcc -fno-builtin -static -x c -o launcher - <<'END'
#include <unistd.h>
int main(void) { execl("./plain", "plain", (char *)0); return 1; }
END
lacks 1 'statically linked' "exec by a static one" sh -c './launcher; exit 3'
is "exec by a static one" "$(query "SELECT ending, exit_code, unrecorded_reason IS NULL, (SELECT count(*) FROM events e
	WHERE e.process_id = p.process_id AND size_bytes = 1000) AS blocks FROM processes p WHERE run_id = $last_run
	AND pid <> (SELECT min(pid) FROM processes WHERE run_id = $last_run) ORDER BY process_id" |
	tr '\n' ' ')" "exec,,0,0 exited,9,1,1000 "

gcc -static -x c -o dies - <<'END' || die "gcc"
#include <signal.h>
int main(void) { return raise(SIGKILL); }
END
lacks 1 'statically linked' "killed" sh -c './dies; exit 2' 2>/dev/null
is "killed: its end" "$(endings)" "signaled,,9 "

# The environment that is passed on.
lacks 1 'see --follow' "a clean environment" env -i ./plain
lacks 1 'see --follow' "no preload" env LD_PRELOAD= ./plain
run_options=--follow=all
identical env -i ./plain
run_options=--follow=none
identical sh -c './static; ./plain; exit 3'
run_options=

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod 755 "$T"
	cp plain setuid && chown 65534 setuid && chmod 4755 setuid
	lacks 1 'it is setuid' "setuid" sh -c './setuid; exit 3'
	is "setuid: its end" "$(endings)" "exited,9, "
	cp plain setgid && chgrp 65534 setgid && chmod 2755 setgid
	lacks 1 'it is setgid' "setgid" sh -c './setgid; exit 3'
	chmod 2745 setgid # of a group that may not execute it: that bit means something else
	identical sh -c './setgid; exit 3'
	# Without the right to gain rights it is a program like any other.
	identical setpriv --no-new-privs ./setuid
fi
gcc -m32 -fno-builtin -o narrow plain.c 2>/dev/null && ./narrow >/dev/null 2>&1
if [ $? = 9 ]; then
	lacks 1 'another kind of processor' "32 bits" sh -c './narrow; exit 3'
fi

# Inside a tool that translates a program's code the allocator may be the tool's, in forks, too.
cat >forks.c <<'END'
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
	void *volatile kept = malloc(1000);
	int status;
	if (fork() == 0)
		_exit(malloc(2000) && kept ? 4 : 1);
	return wait(&status) > 0 ? WEXITSTATUS(status) + 5 : 1;
}
END
gcc -fno-builtin -o forks forks.c || die "gcc"
if command -v valgrind >/dev/null && valgrind -q ./plain >/dev/null 2>&1 </dev/null; [ $? = 9 ]; then
	lacks 2 'replaces every allocator' "valgrind" valgrind -q ./forks
	is "valgrind: ends" "$(endings)" "exited,9, exited,4, "
	is "valgrind: parent" "$(query "SELECT (SELECT unrecorded_reason IS NOT NULL FROM processes WHERE
		process_id = p.parent_process_id) AS so FROM processes p WHERE run_id = $last_run AND forked")" 1
	run_options=--guard
	lacks 2 'replaces every allocator' "valgrind, with guards" valgrind -q ./forks
	run_options=
	# One that leaves the program's allocator alone.
	identical valgrind -q --tool=none ./forks
	is "valgrind: blocks" "$(query "SELECT count(*) FROM allocations WHERE run_id = $last_run AND
		size_bytes IN (1000, 2000)")" 2
fi

# No false alarms.
echo 'int main(void) { return 3; }' >idle.c
gcc -fno-builtin -nostartfiles -x c -o nothing - <<'END' 2>/dev/null || cp /bin/true nothing
#include <unistd.h>
void _start(void) { _exit(3); }
END
gcc -o idle idle.c || die "gcc"
identical sh -c './idle; ./nothing; exit 4'
: >empty && chmod +x empty
identical sh -c './none 2>/dev/null; ./plain.c 2>/dev/null; ./empty; ./idle'
cat >failing.py <<'END'
import os, subprocess
for name in './none', './plain.c', '.', './static':
	os.chmod('static', 0o644)
	try:
		subprocess.call([name])
	except OSError as error:
		print(error.errno)
	try:
		os.execve(name, [name], {})
	except OSError as error:
		print(error.errno)
END
chmod 755 static
[ "$(id -u)" != 0 ] || identical /usr/bin/python3 failing.py
pass
