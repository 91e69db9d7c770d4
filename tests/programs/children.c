/*
 * children KIND: a child made in one of the ways there are; each allocates ten blocks of the
 * kind's own size. Prints name,pid,status of each; the parent allocates one block of 7000 bytes
 * after it and ends with 20.
 */
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "tests/programs/say.h"

#ifndef __NR_clone3
#define __NR_clone3 435
#endif

extern char **environ;
static char stack[1 << 16] __attribute__((aligned(16)));

static void allocate(size_t size)
{
	for (int i = 0; i < 10; i++)
		free(malloc(size));
}

static int cloned(void *argument)
{
	allocate(7001);
	_exit((int)(long)argument);
}

static void tell(const char *name, pid_t pid)
{
	int status = 0;

	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		;
	say("%s,%d,%d\n", name, (int)pid, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	free(malloc(7000));
}

/* A child that gets the number of one that ended. */
static void again(void)
{
	/* struct clone_args of clone3. */
	uint64_t arguments[11] = { 0 };
	pid_t pid = fork(), number;

	if (!pid) {
		allocate(7008);
		_exit(18);
	}
	number = pid;
	tell("first", pid);
	arguments[4] = SIGCHLD;
	arguments[8] = (uint64_t)(uintptr_t)&number; /* set_tid */
	arguments[9] = 1;
	pid = (pid_t)syscall(__NR_clone3, arguments, 10 * sizeof(arguments[0]));
	if (!pid) {
		allocate(7009);
		_exit(19);
	}
	tell("second", pid);
}

/* A daemon is the child of a child that is gone. */
static void daemonise(void)
{
	pid_t pid = fork();

	if (!pid) {
		allocate(7010);
		if (fork())
			_exit(4);
		setsid();
		usleep(300000);
		allocate(7011);
		_exit(5);
	}
	tell("left", pid);
}

static void raw(void)
{
	char *words[] = { (char *)"sh", (char *)"-c", (char *)"exit 16", NULL };
	pid_t pid = clone(cloned, stack + sizeof(stack), SIGCHLD, (void *)11L);

	tell("clone", pid);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		allocate(7002);
		_exit(12);
	}
	tell("raw", pid);
	pid = _Fork();
	if (!pid) {
		allocate(7003);
		_exit(13);
	}
	tell("_Fork", pid);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		allocate(7005);
		syscall(SYS_exit_group, 15);
	}
	tell("silent", pid);
	pid = fork();
	if (!pid) {
		allocate(7006);
		syscall(SYS_execve, "/bin/sh", words, environ);
		_exit(1);
	}
	tell("exec", pid);
}

/* These borrow the parent's memory. */
static void borrowed(void)
{
	pid_t pid =
		clone(cloned, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)14L);
	FILE *pipe;
	char line[16] = "";

	tell("memory", pid);
	say("system,%d\n", WEXITSTATUS(system("exit 6")));
	free(malloc(7000));
	pipe = popen("echo seven; exit 7", "r");
	if (!fgets(line, sizeof(line), pipe))
		line[0] = 0;
	say("popen,%s", line);
	say("pclose,%d\n", WEXITSTATUS(pclose(pipe)));
	free(malloc(7000));
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";

	if (!strcmp(kind, "raw"))
		raw();
	else if (!strcmp(kind, "borrowed"))
		borrowed();
	else if (!strcmp(kind, "again"))
		again();
	else if (!strcmp(kind, "daemonise"))
		daemonise();
	say_write();
	return 20;
}
