/*
 * launcher KIND [ARGUMENT] PROGRAM [ARGUMENTS…]: linked statically, so that there is no malloc of it to
 * record; becomes the program, at once or after a while, or leaves it to a child.
 *
 *   exec, fork, vfork
 *   sleep MILLISECONDS
 *   stopped FILE       the child is stopped when it has become the program and nothing of that has run;
 *                      its number is written to the file
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void become(char **words)
{
	execv(words[0], words);
	_exit(127);
}

static void leave_stopped(const char *file, char **words)
{
	pid_t pid = fork();
	FILE *out;
	int status;

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		become(words);
	}
	waitpid(pid, &status, 0);
	ptrace(PTRACE_DETACH, pid, NULL, (void *)(long)SIGSTOP);
	out = fopen(file, "w");
	if (!out || fprintf(out, "%d\n", (int)pid) < 0 || fclose(out))
		kill(pid, SIGKILL);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 2 ? argv[1] : "";

	if (!strcmp(kind, "exec"))
		become(argv + 2);
	if (!strcmp(kind, "fork") && !fork())
		become(argv + 2);
	if (!strcmp(kind, "vfork") && !vfork())
		become(argv + 2);
	if (!strcmp(kind, "sleep")) {
		usleep((unsigned)atoi(argv[2]) * 1000);
		become(argv + 3);
	}
	if (!strcmp(kind, "stopped"))
		leave_stopped(argv[2], argv + 3);
	_exit(21);
}
