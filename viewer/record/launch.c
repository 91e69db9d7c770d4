#include "viewer/record/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/recorder.h"
#include "viewer/memory.h"
#include "viewer/record/link.h"
#include "viewer/record/program.h"
#include "viewer/record/signals.h"

extern char **environ;

/* The folder of our executable. */
static int own_folder(char folder[PATH_MAX], struct error *error)
{
	ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
	char *slash;

	if (length < 0)
		return error_set(error, -errno,
				 "cannot find where heaptape is installed: %s (/proc is needed)",
				 strerror(errno));
	folder[length] = 0;
	slash = strrchr(folder, '/');
	if (slash)
		*slash = 0;
	return 0;
}

int launch_installed(const char *variable, const char *name, char **ret_path, struct error *error)
{
	const char *given = getenv(variable);
	char folder[PATH_MAX], resolved[PATH_MAX];
	int result;

	if (given && *given) {
		if (!realpath(given, resolved))
			return error_set(error, -errno, "cannot use %s='%s': %s", variable, given,
					 strerror(errno));
		*ret_path = memory_copy(resolved);
		return 0;
	}
	result = own_folder(folder, error);
	for (size_t i = 0; i < 2 && !result; i++) {
		char *path = i ? memory_print("%s/../lib/heaptape/%s", folder, name)
			       : memory_print("%s/%s", folder, name);
		char *real = realpath(path, resolved);

		free(path);
		if (real) {
			*ret_path = memory_copy(resolved);
			return 0;
		}
	}
	if (result)
		return result;
	return error_set(error, -ENOENT,
			 "cannot find %s beside heaptape (%s) or in ../lib/heaptape. Is the "
			 "installation whole? %s can name it.",
			 name, folder, variable);
}

int launch_shim(char **ret_path, struct error *error)
{
	return launch_installed("HEAPTAPE_SHIM", "libheaptape.so", ret_path, error);
}

char **launch_daemon_environment(void)
{
	const char *preload = getenv("LD_PRELOAD");
	bool recorded = preload && strstr(preload, "libheaptape");
	size_t count = 0, kept = 0;
	char **copy;

	while (environ[count])
		count++;
	copy = memory_alloc((count + 2) * sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		if (!recorded || (strncmp(environ[i], "LD_PRELOAD=", 11) != 0 &&
				  strncmp(environ[i], "HEAPTAPE_SOCKET=", 16) != 0))
			copy[kept++] = environ[i];
	if (recorded) /* or --follow=all would put it back */
		copy[kept++] = (char *)"HEAPTAPE_SOCKET=";
	return copy;
}

void launch_symbols(const char *database)
{
	struct error ignored;
	char *program = NULL;
	char *arguments[] = { (char *)"heaptaped", (char *)"--symbols", (char *)database,
			      (char *)"0", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char **environment;
	pid_t pid;

	if (launch_installed("HEAPTAPE_DAEMON", "heaptaped", &program, &ignored) || !program)
		return;
	environment = launch_daemon_environment();
	posix_spawn_file_actions_init(&actions);
	for (int fd = 0; fd <= 2; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
	posix_spawn(&pid, program, &actions, &attributes, arguments, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free(environment);
	free(program);
}

int64_t launch_clock_ns(void)
{
	struct timespec now = clock_read(CLOCK_MONOTONIC);

	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int launch_program(const char *path, char **argv, char **environment,
		   void (*begun)(pid_t pid, void *context), void *context, pid_t *ret_pid,
		   struct program_end *ret_end, struct error *error)
{
	struct signals signals;
	int failure[2], number = 0;
	pid_t pid;

	if (pipe2(failure, O_CLOEXEC))
		return error_set(error, -errno, "cannot make a pipe: %s", strerror(errno));
	*ret_end = (struct program_end){ 0 };
	signals_begin(&signals);
	pid = fork();
	if (pid < 0) {
		number = errno;
		signals_end(&signals);
		close(failure[0]);
		close(failure[1]);
		return error_set(error, -number, "cannot start a process: %s", strerror(number));
	}
	if (!pid) {
		signals_give_back(&signals);
		number = -program_exec(path, argv, environment);
		if (write(failure[1], &number, sizeof(number)) < 0)
			_exit(PROGRAM_NOT_EXECUTABLE);
		_exit(PROGRAM_NOT_EXECUTABLE);
	}
	signals_pass_to(pid);
	close(failure[1]);
	if (read(failure[0], &number, sizeof(number)) == (ssize_t)sizeof(number))
		ret_end->exec_error = number;
	else
		begun(pid, context);
	close(failure[0]);
	signals_wait(pid, &ret_end->status, &ret_end->usage);
	ret_end->monotonic_ns = launch_clock_ns();
	*ret_pid = pid;
	signals_end(&signals);
	return 0;
}
