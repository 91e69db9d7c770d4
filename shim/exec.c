#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/exec.h"
#include "shim/follow.h"
#include "shim/lifecycle.h"
#include "shim/sys.h"
#include "shim/types.h"

static int (*next_execvpe)(const char *, char *const[], char *const[]);
static void (*next_quick_exit)(int);

typedef int spawn_function(pid_t *, const char *, const posix_spawn_file_actions_t *,
			   const posix_spawnattr_t *, char *const[], char *const[]);
static spawn_function *next_spawn, *next_spawnp;

void ht_exec_init(void)
{
	next_execvpe =
		(int (*)(const char *, char *const[], char *const[]))dlsym(RTLD_NEXT, "execvpe");
	next_quick_exit = (void (*)(int))dlsym(RTLD_NEXT, "quick_exit");
	next_spawn = (spawn_function *)dlsym(RTLD_NEXT, "posix_spawn");
	next_spawnp = (spawn_function *)dlsym(RTLD_NEXT, "posix_spawnp");
}

/* The environment the new program gets; what of it is new lies in this function's frame. */
#define FOLLOW(folder, path, envp, child)                                            \
	do {                                                                         \
		struct follow_plan plan;                                             \
		size_t bytes = ht_follow_plan(&plan, folder, path, envp, child);     \
		if (bytes)                                                           \
			envp = ht_follow_make(&plan, envp, __builtin_alloca(bytes)); \
	} while (0)

static int exec_path(const char *path, char *const argv[], char *const envp[])
{
	long ret;

	FOLLOW(AT_FDCWD, path, envp, false);
	ht_ending(PROCESS_EXEC, 0);
	ret = sys_call3(SYS_execve, path, argv, envp);
	ht_ending_failed();
	return (int)sys_result(ret);
}

static int exec_search(const char *file, char *const argv[], char *const envp[])
{
	int ret;

	if (!next_execvpe) {
		errno = ENOSYS;
		return -1;
	}
	FOLLOW(AT_FDCWD, strchr(file, '/') ? file : NULL, envp, false);
	ht_ending(PROCESS_EXEC, 0);
	ret = next_execvpe(file, argv, envp);
	ht_ending_failed();
	return ret;
}

HT_EXPORT int HT_API(execve)(const char *path, char *const argv[], char *const envp[])
{
	return exec_path(path, argv, envp);
}

HT_EXPORT int HT_API(execv)(const char *path, char *const argv[])
{
	return exec_path(path, argv, environ);
}

HT_EXPORT int HT_API(execvp)(const char *file, char *const argv[])
{
	return exec_search(file, argv, environ);
}

HT_EXPORT int HT_API(execvpe)(const char *file, char *const argv[], char *const envp[])
{
	return exec_search(file, argv, envp);
}

HT_EXPORT int HT_API(fexecve)(int fd, char *const argv[], char *const envp[])
{
	long ret;

	FOLLOW(fd, "", envp, false);
	ht_ending(PROCESS_EXEC, 0);
	ret = sys_call5(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
	ht_ending_failed();
	return (int)sys_result(ret);
}

HT_EXPORT int HT_API(execveat)(int folder, const char *path, char *const argv[], char *const envp[],
			       int flags)
{
	long ret;

	FOLLOW(folder, path, envp, false);
	ht_ending(PROCESS_EXEC, 0);
	ret = sys_call5(SYS_execveat, folder, path, argv, envp, flags);
	ht_ending_failed();
	return (int)sys_result(ret);
}

/* The execl family: arguments as a list, which is copied to the stack as an array. */
#define COLLECT(first, argv, envp_too, envp)                          \
	va_list args;                                                 \
	size_t count = 1;                                             \
	char *const *envp = environ;                                  \
	va_start(args, first);                                        \
	while (va_arg(args, char *))                                  \
		count++;                                              \
	va_end(args);                                                 \
	char **argv = __builtin_alloca((count + 1) * sizeof(char *)); \
	va_start(args, first);                                        \
	argv[0] = (char *)first;                                      \
	for (size_t i = 1; i <= count; i++)                           \
		argv[i] = va_arg(args, char *);                       \
	if (envp_too)                                                 \
		envp = va_arg(args, char *const *);                   \
	va_end(args)

HT_EXPORT int HT_API(execl)(const char *path, const char *arg, ...)
{
	COLLECT(arg, argv, false, envp);
	return exec_path(path, argv, envp);
}

HT_EXPORT int HT_API(execle)(const char *path, const char *arg, ...)
{
	COLLECT(arg, argv, true, envp);
	return exec_path(path, argv, envp);
}

HT_EXPORT int HT_API(execlp)(const char *file, const char *arg, ...)
{
	COLLECT(arg, argv, false, envp);
	return exec_search(file, argv, envp);
}

/* The child borrows our memory, but all is ready when it begins. */
HT_EXPORT int HT_API(posix_spawn)(pid_t *restrict ret_pid, const char *restrict path,
				  const posix_spawn_file_actions_t *restrict actions,
				  const posix_spawnattr_t *restrict attributes,
				  char *const argv[restrict], char *const envp[restrict])
{
	if (!next_spawn)
		return ENOSYS;
	FOLLOW(AT_FDCWD, path, envp, true);
	return next_spawn(ret_pid, path, actions, attributes, argv, envp);
}

HT_EXPORT int HT_API(posix_spawnp)(pid_t *restrict ret_pid, const char *restrict file,
				   const posix_spawn_file_actions_t *restrict actions,
				   const posix_spawnattr_t *restrict attributes,
				   char *const argv[restrict], char *const envp[restrict])
{
	if (!next_spawnp)
		return ENOSYS;
	FOLLOW(AT_FDCWD, strchr(file, '/') ? file : NULL, envp, true);
	return next_spawnp(ret_pid, file, actions, attributes, argv, envp);
}

static __attribute__((noreturn)) void exit_now(int status)
{
	ht_ending(PROCESS_EXITED, status & 0xff);
	for (;;)
		sys_call1(SYS_exit_group, status);
}

HT_EXPORT __attribute__((noreturn)) void HT_API(_exit)(int status)
{
	exit_now(status);
}

HT_EXPORT __attribute__((noreturn)) void HT_API(_Exit)(int status)
{
	exit_now(status);
}

/* Its handlers still run; should one of them not return, _exit says otherwise. */
HT_EXPORT __attribute__((noreturn)) void HT_API(quick_exit)(int status)
{
	ht_ending(PROCESS_EXITED, status & 0xff);
	if (next_quick_exit)
		next_quick_exit(status);
	exit_now(status);
}
