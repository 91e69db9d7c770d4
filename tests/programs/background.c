/*
 * background KIND PROGRAM [ARGUMENTS…]: starts the program in one of the ways there are and exits without
 * waiting for it, with 20. Of the kinds that kill, each does so a hundred times, as soon as it can.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* The words as one line for a shell. */
static char *line_of(char **words, const char *end)
{
	static char line[4096];

	for (; *words; words++)
		snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s ", *words);
	strncat(line, end, sizeof(line) - strlen(line) - 1);
	return line;
}

static _Noreturn void become(char **words)
{
	execv(words[0], words);
	_exit(127);
}

/* As daemons detach. */
static void detach(char **words)
{
	if (fork())
		_exit(20);
	setsid();
	if (fork())
		_exit(0);
	for (int fd = 0; fd < 3; fd++)
		dup2(open("/dev/null", O_RDWR), fd);
	close_range(3, ~0u, 0);
	become(words);
}

static void kill_it(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void kill_forks(void)
{
	for (int i = 0; i < 100; i++) {
		pid_t pid = fork();

		if (!pid)
			pause();
		kill_it(pid);
	}
}

static void kill_spawned(char **words)
{
	for (int i = 0; i < 100; i++) {
		pid_t pid;

		if (posix_spawn(&pid, words[0], NULL, NULL, words, environ))
			_exit(1);
		kill_it(pid);
	}
}

/* When it has become the program and nothing of that has run. */
static void kill_begun(char **words)
{
	for (int i = 0; i < 100; i++) {
		pid_t pid = fork();

		if (!pid) {
			ptrace(PTRACE_TRACEME, 0, NULL, NULL);
			become(words);
		}
		waitpid(pid, NULL, 0);
		kill_it(pid);
	}
}

int main(int argc, char **argv)
{
	const char *kind = argc > 2 ? argv[1] : "";
	char **words = argv + 2;
	pid_t pid;

	if (!strcmp(kind, "fork") && !fork())
		become(words);
	if (!strcmp(kind, "raw") && !syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))
		syscall(SYS_execve, words[0], words, environ);
	if (!strcmp(kind, "vfork") && !vfork())
		become(words);
	if (!strcmp(kind, "spawn"))
		posix_spawn(&pid, words[0], NULL, NULL, words, environ);
	if (!strcmp(kind, "system") && system(line_of(words, "&")))
		return 1;
	if (!strcmp(kind, "popen") && !popen(line_of(words, ""), "w"))
		return 1;
	if (!strcmp(kind, "detach"))
		detach(words);
	if (!strcmp(kind, "kill-forks"))
		kill_forks();
	if (!strcmp(kind, "kill-spawned"))
		kill_spawned(words);
	if (!strcmp(kind, "kill-begun"))
		kill_begun(words);
	/* Forks that have nothing more to do than to fork. */
	if (!strcmp(kind, "chain")) {
		for (int i = 0; i < 20; i++)
			if (fork())
				_exit(20);
		become(words);
	}
	_exit(20);
}
