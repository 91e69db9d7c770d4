/*
 * What programs do to descriptors that are not theirs: closes all of them, in every way there is,
 * and puts its own in their place. Allocates 100 blocks of 555 bytes after each. Prints what the
 * calls said, which is the same whether the program is recorded or not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "tests/programs/say.h"

#define LOW 3

extern char **environ;

static int high_end = 1100; /* no number above the limit */

static void allocate(void)
{
	for (int i = 0; i < 100; i++)
		free(malloc(555));
}

static int status_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* A child that only borrows our memory closes everything and is another program then. */
static void vfork_child(char **argv)
{
	char *again[] = { argv[0], (char *)"child", NULL };
	pid_t pid = vfork();

	if (pid == 0) {
		for (int fd = LOW; fd < high_end; fd++)
			close(fd);
		for (int fd = high_end - 200; fd < high_end; fd++)
			dup2(1, fd);
		execve(argv[0], again, environ);
		_exit(1);
	}
	say("vfork child %d\n", status_of(pid));
}

static void spawned_child(char **argv)
{
	char *again[] = { argv[0], (char *)"child", NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclosefrom_np(&actions, LOW);
	say("spawn %d\n", posix_spawn(&pid, argv[0], &actions, NULL, again, environ));
	say("spawned child %d\n", status_of(pid));
	posix_spawn_file_actions_destroy(&actions);
}

/* Closes what is listed as open. Says how many times that failed. */
static int close_listed(void)
{
	DIR *folder = opendir("/proc/self/fd");
	const struct dirent *entry;
	int failed = 0;

	while (folder && (entry = readdir(folder))) {
		int fd = atoi(entry->d_name);

		if (*entry->d_name != '.' && fd > 2 && fd != dirfd(folder))
			failed += close(fd) != 0;
	}
	allocate();
	say("failed %d\n", failed);
	say_write();
	return 8;
}

int main(int argc, char **argv)
{
	int closed = 0, replaced = 0;

	if (sysconf(_SC_OPEN_MAX) < high_end)
		high_end = (int)sysconf(_SC_OPEN_MAX);
	if (argc > 1 && !strcmp(argv[1], "listed"))
		return close_listed();
	if (argc > 1)
		return 7;
	for (int fd = LOW; fd < high_end; fd++)
		closed += close(fd) == 0;
	closed = 0; /* what the caller left open */
	allocate();
	for (int fd = LOW; fd < high_end; fd++)
		closed += close(fd) == 0 || errno != EBADF;
	say("closed %d\n", closed);
	closefrom(LOW);
	allocate();
	say("close_range %d\n", close_range(LOW, ~0u, 0));
	say("close_range %d %d\n", close_range(9, 8, 0), errno);
	allocate();
	for (int fd = LOW; fd < high_end; fd++)
		replaced += dup2(1, fd) == fd;
	say("replaced %d\n", replaced);
	allocate();
	for (int fd = LOW; fd < high_end; fd++)
		replaced += dup3(1, fd, O_CLOEXEC) == fd;
	say("replaced %d\n", replaced);
	allocate();
	for (int fd = LOW; fd < high_end; fd++)
		closed += close(fd) == 0;
	say("closed %d\n", closed);
	allocate();
	say("dup2 %d", dup2(0, 0));
	say(" %d %d", dup2(1000, 1000), errno);
	say(" %d %d", dup2(1000, 5), errno);
	say(" %d %d\n", dup3(1, 1, 0), errno);
	say("close %d %d\n", close(-1), errno);
	vfork_child(argv);
	allocate();
	spawned_child(argv);
	allocate();
	say_write();
	return 0;
}
