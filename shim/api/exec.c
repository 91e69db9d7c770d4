#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/alloc/types.h"
#include "shim/api/exec.h"
#include "shim/api/follow.h"
#include "shim/api/unrecorded.h"
#include "shim/libc.h"
#include "shim/record/lifecycle.h"
#include "shim/sys.h"

static int (*next_execvpe)(const char *, char *const[], char *const[]);
static void (*next_quick_exit)(int);

typedef int spawn_function(pid_t *, const char *, const posix_spawn_file_actions_t *,
			   const posix_spawnattr_t *, char *const[], char *const[]);
static spawn_function *next_spawn, *next_spawnp;

void ht_exec_init(void)
{
	next_execvpe = (int (*)(const char *, char *const[], char *const[]))ht_libc()->dlsym(
		RTLD_NEXT, "execvpe");
	next_quick_exit = (void (*)(int))ht_libc()->dlsym(RTLD_NEXT, "quick_exit");
	next_spawn = (spawn_function *)ht_libc()->dlsym(RTLD_NEXT, "posix_spawn");
	next_spawnp = (spawn_function *)ht_libc()->dlsym(RTLD_NEXT, "posix_spawnp");
}

/* The environment the new program gets; what of it is new lies in this function's frame. */
#define FOLLOW(folder, path, search, envp, child)                                        \
	struct follow_plan plan;                                                         \
	do {                                                                             \
		size_t bytes = ht_follow_plan(&plan, folder, path, search, envp, child); \
		if (bytes)                                                               \
			envp = ht_follow_make(&plan, envp, __builtin_alloca(bytes));     \
	} while (0)

/* This process, or a child that only borrows its memory, is about to become another program. Returns
 * what stayed() needs to know. */
static int leaving(const struct follow_plan *plan, char *const argv[])
{
	int told = ht_unrecorded_exec(plan, argv);

	if (sys_call0(SYS_getpid) == ht_pid)
		ht_ending(PROCESS_EXEC, plan->loads);
	else
		ht_follow_announce(plan);
	return told;
}

static void stayed(const struct follow_plan *plan, int told)
{
	if (sys_call0(SYS_getpid) == ht_pid)
		ht_ending_failed();
	else
		ht_follow_failed(plan);
	ht_unrecorded_failed(told);
}

static int exec_path(const char *path, char *const argv[], char *const envp[])
{
	long ret;
	int told;

	FOLLOW(AT_FDCWD, path, false, envp, false);
	told = leaving(&plan, argv);
	ret = sys_call3(SYS_execve, path, argv, envp);
	stayed(&plan, told);
	return (int)sys_result(ret);
}

static int exec_search(const char *file, char *const argv[], char *const envp[])
{
	int ret, told;

	if (!next_execvpe) {
		errno = ENOSYS;
		return -1;
	}
	FOLLOW(AT_FDCWD, file, true, envp, false);
	told = leaving(&plan, argv);
	ret = next_execvpe(file, argv, envp);
	stayed(&plan, told);
	return ret;
}

static int exec_at(int folder, const char *path, char *const argv[], char *const envp[], int flags)
{
	long ret;
	int told;

	FOLLOW(folder, path, false, envp, false);
	told = leaving(&plan, argv);
	ret = sys_call5(SYS_execveat, folder, path, argv, envp, flags);
	stayed(&plan, told);
	return (int)sys_result(ret);
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
	return exec_at(fd, "", argv, envp, AT_EMPTY_PATH);
}

HT_EXPORT int HT_API(execveat)(int folder, const char *path, char *const argv[], char *const envp[],
			       int flags)
{
	return exec_at(folder, path, argv, envp, flags);
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
static int spawn(spawn_function *next, bool search, pid_t *ret_pid, const char *path,
		 const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
		 char *const argv[], char *const envp[])
{
	pid_t pid;
	int error;

	if (!next)
		return ENOSYS;
	FOLLOW(AT_FDCWD, path, search, envp, true);
	ht_follow_announce(&plan);
	error = next(&pid, path, actions, attributes, argv, envp);
	if (error) {
		ht_follow_failed(&plan);
		return error;
	}
	if (ret_pid)
		*ret_pid = pid;
	ht_unrecorded_started(&plan, argv, pid);
	return 0;
}

HT_EXPORT int HT_API(posix_spawn)(pid_t *restrict ret_pid, const char *restrict path,
				  const posix_spawn_file_actions_t *restrict actions,
				  const posix_spawnattr_t *restrict attributes,
				  char *const argv[restrict], char *const envp[restrict])
{
	return spawn(next_spawn, false, ret_pid, path, actions, attributes, argv, envp);
}

HT_EXPORT int HT_API(posix_spawnp)(pid_t *restrict ret_pid, const char *restrict file,
				   const posix_spawn_file_actions_t *restrict actions,
				   const posix_spawnattr_t *restrict attributes,
				   char *const argv[restrict], char *const envp[restrict])
{
	return spawn(next_spawnp, true, ret_pid, file, actions, attributes, argv, envp);
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
