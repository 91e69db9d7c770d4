#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <paths.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/follow.h"
#include "shim/shell.h"
#include "shim/sys.h"
#include "shim/types.h"

static int (*next_system)(const char *);
static FILE *(*next_popen)(const char *, const char *);
static int (*next_spawn)(pid_t *, const char *, const posix_spawn_file_actions_t *,
			 const posix_spawnattr_t *, char *const[], char *const[]);

void ht_shell_init(void)
{
	next_system = (int (*)(const char *))dlsym(RTLD_NEXT, "system");
	next_popen = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "popen");
	next_spawn = (__typeof__(next_spawn))dlsym(RTLD_NEXT, "posix_spawn");
}

/* For what follows, and for the environment. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What system() does to the program's signals, once for all calls that run at the same time. */
static unsigned running;
static struct sigaction old_interrupt, old_quit;

void ht_shell_forked(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

struct call {
	sigset_t old_mask;
	pid_t pid;
};

static void enter(struct call *call)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t child;

	pthread_mutex_lock(&lock);
	if (running++ == 0) {
		sigaction(SIGINT, &ignore, &old_interrupt);
		sigaction(SIGQUIT, &ignore, &old_quit);
	}
	pthread_mutex_unlock(&lock);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &child, &call->old_mask);
}

static void leave(const struct call *call)
{
	pthread_mutex_lock(&lock);
	if (--running == 0) {
		sigaction(SIGINT, &old_interrupt, NULL);
		sigaction(SIGQUIT, &old_quit, NULL);
	}
	pthread_mutex_unlock(&lock);
	pthread_sigmask(SIG_SETMASK, &call->old_mask, NULL);
}

/* The thread is cancelled. */
static void give_up(void *context)
{
	struct call *call = context;

	kill(call->pid, SIGKILL);
	while (sys_call4(SYS_wait4, call->pid, 0, 0, 0) == -EINTR)
		;
	leave(call);
}

/* As system() starts it, but for the environment. */
static int start(struct call *call, const char *line, char *const envp[])
{
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)line, NULL };
	posix_spawnattr_t attributes;
	sigset_t defaults;
	int error;

	sigemptyset(&defaults);
	if (old_interrupt.sa_handler != SIG_IGN)
		sigaddset(&defaults, SIGINT);
	if (old_quit.sa_handler != SIG_IGN)
		sigaddset(&defaults, SIGQUIT);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &call->old_mask);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	error = next_spawn(&call->pid, _PATH_BSHELL, NULL, &attributes, argv, envp);
	posix_spawnattr_destroy(&attributes);
	return error;
}

static int run(const char *line, char *const envp[])
{
	struct call call;
	int status = 127 << 8, error;
	pid_t got;

	enter(&call);
	error = start(&call, line, envp);
	if (!error) {
		pthread_cleanup_push(give_up, &call);
		do
			got = waitpid(call.pid, &status, 0);
		while (got < 0 && errno == EINTR);
		if (got != call.pid)
			status = -1;
		pthread_cleanup_pop(0);
	}
	leave(&call);
	if (error)
		errno = error;
	return status;
}

/* Not that of another thread's popen. */
static char **environment(void)
{
	char **envp;

	pthread_mutex_lock(&lock);
	envp = environ;
	pthread_mutex_unlock(&lock);
	return envp;
}

HT_EXPORT int HT_API(system)(const char *line)
{
	struct follow_plan plan;
	char **envp = environment();
	size_t bytes = line ? ht_follow_plan(&plan, AT_FDCWD, _PATH_BSHELL, envp, true) : 0;

	if (bytes && next_spawn)
		return run(line, ht_follow_make(&plan, envp, __builtin_alloca(bytes)));
	if (next_system)
		return next_system(line);
	errno = ENOSYS;
	return -1;
}

/* Room for an environment that another thread may look at, even when it is over: it is used again
 * much later only. */
static void *room(size_t bytes)
{
	static struct {
		void *memory;
		size_t bytes;
	} rooms[16];
	static unsigned turn;
	unsigned i = turn++ % 16;

	if (bytes > rooms[i].bytes) {
		void *memory = mmap(NULL, bytes * 2, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			return NULL;
		rooms[i].memory = memory;
		rooms[i].bytes = bytes * 2;
	}
	return rooms[i].memory;
}

/* Nobody else can make its FILE, so the environment is another one for a moment. */
static FILE *open_with(const struct follow_plan *plan, size_t bytes, const char *line,
		       const char *mode)
{
	char **usual = environ, **ours = usual;
	void *memory = room(bytes);
	FILE *file;

	if (memory)
		ours = (char **)ht_follow_make(plan, usual, memory);
	environ = ours;
	file = next_popen(line, mode);
	/* Unless somebody has set a variable meanwhile. */
	if (environ == ours)
		environ = usual;
	return file;
}

HT_EXPORT FILE *HT_API(popen)(const char *line, const char *mode)
{
	struct follow_plan plan;
	FILE *file = NULL;
	size_t bytes;

	if (!next_popen) {
		errno = ENOSYS;
		return NULL;
	}
	pthread_mutex_lock(&lock);
	bytes = ht_follow_plan(&plan, AT_FDCWD, _PATH_BSHELL, environ, true);
	if (bytes)
		file = open_with(&plan, bytes, line, mode);
	pthread_mutex_unlock(&lock);
	return bytes ? file : next_popen(line, mode);
}
