/*
 * Processes: a fork child that goes on, one that execs, a vfork and a posix_spawn child, one
 * killed by a signal, one that leaves by _exit. Prints name,pid of each.
 */
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "tests/programs/say.h"

extern char **environ;

static void wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		;
}

int main(int argc, char **argv)
{
	char *again[] = { argv[0], (char *)"grown", NULL };
	void *inherited;
	pid_t pid;

	if (argc > 1) {
		void *block = malloc(4321);

		memset(block, 1, 4321);
		return 7;
	}
	inherited = malloc(1234);
	say("parent,%d\n", (int)getpid());

	pid = fork();
	if (!pid) {
		free(inherited);
		free(malloc(2345));
		exit(3);
	}
	say("forked,%d\n", (int)pid);
	wait_for(pid);

	pid = fork();
	if (!pid) {
		free(malloc(3456));
		execv(argv[0], again);
		_exit(99);
	}
	say("forked-exec,%d\n", (int)pid);
	wait_for(pid);

	pid = vfork();
	if (!pid) {
		execv(argv[0], again);
		_exit(99);
	}
	say("vforked,%d\n", (int)pid);
	wait_for(pid);

	if (posix_spawn(&pid, argv[0], NULL, NULL, again, environ))
		return 98;
	say("spawned,%d\n", (int)pid);
	wait_for(pid);

	pid = fork();
	if (!pid) {
		free(malloc(5432));
		raise(SIGKILL);
	}
	say("killed,%d\n", (int)pid);
	wait_for(pid);

	pid = fork();
	if (!pid) {
		free(malloc(6543));
		_exit(5);
	}
	say("left,%d\n", (int)pid);
	wait_for(pid);

	free(inherited);
	say_write();
	return 42;
}
