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
#include <wordexp.h>

#include "shim/alloc/types.h"
#include "shim/api/follow.h"
#include "shim/api/shell.h"
#include "shim/api/unrecorded.h"
#include "shim/libc.h"
#include "shim/prim.h"
#include "shim/sys.h"

static int (*next_system)(const char *);
static FILE *(*next_popen)(const char *, const char *);
static int (*next_wordexp)(const char *, wordexp_t *, int);
static int (*next_spawn)(pid_t *, const char *, const posix_spawn_file_actions_t *,
			 const posix_spawnattr_t *, char *const[], char *const[]);

void ht_shell_init(void)
{
	next_system = (int (*)(const char *))ht_libc()->dlsym(RTLD_NEXT, "system");
	next_popen = (FILE * (*)(const char *, const char *)) ht_libc()->dlsym(RTLD_NEXT, "popen");
	next_spawn = (__typeof__(next_spawn))ht_libc()->dlsym(RTLD_NEXT, "posix_spawn");
	next_wordexp = (__typeof__(next_wordexp))ht_libc()->dlsym(RTLD_NEXT, "wordexp");
}

/* For what follows, and for the environment. */
static struct prim_lock lock;

/* What system() does to the program's signals, once for all calls that run at the same time. */
static unsigned running;
static struct action {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
} old_interrupt, old_quit;

static void set_action(int number, const struct action *action, struct action *ret_old)
{
	sys_call4(SYS_rt_sigaction, number, action, ret_old, sizeof(action->mask));
}

static void set_mask(int how, const sigset_t *mask, sigset_t *ret_old)
{
	sys_call4(SYS_rt_sigprocmask, how, mask, ret_old, sizeof(uint64_t));
}

static void add(sigset_t *set, int number)
{
	*(uint64_t *)(void *)set |= 1ull << (number - 1);
}

/* Held while words are expanded in another environment, which may take as long as a program. */
static struct prim_lock expanding;

void ht_shell_forked(void)
{
	prim_lock_reset(&lock);
	prim_lock_reset(&expanding);
}

struct call {
	sigset_t old_mask;
	pid_t pid;
};

static void enter(struct call *call)
{
	struct action ignore = { .handler = SIG_IGN };
	sigset_t child = { { 0 } };

	prim_lock(&lock);
	if (running++ == 0) {
		set_action(SIGINT, &ignore, &old_interrupt);
		set_action(SIGQUIT, &ignore, &old_quit);
	}
	prim_unlock(&lock);
	add(&child, SIGCHLD);
	call->old_mask = (sigset_t){ { 0 } };
	set_mask(SIG_BLOCK, &child, &call->old_mask);
}

static void leave(const struct call *call)
{
	prim_lock(&lock);
	if (--running == 0) {
		set_action(SIGINT, &old_interrupt, NULL);
		set_action(SIGQUIT, &old_quit, NULL);
	}
	prim_unlock(&lock);
	set_mask(SIG_SETMASK, &call->old_mask, NULL);
}

/* The thread is cancelled. */
static void give_up(void *context)
{
	struct call *call = context;

	sys_call2(SYS_kill, call->pid, SIGKILL);
	while (sys_call4(SYS_wait4, call->pid, 0, 0, 0) == -EINTR)
		;
	leave(call);
}

/* As system() starts it, but for the environment. */
static int start(struct call *call, const struct follow_plan *plan, const char *line,
		 char *const envp[])
{
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)line, NULL };
	posix_spawnattr_t attributes;
	sigset_t defaults = { { 0 } };
	int error;

	if (old_interrupt.handler != SIG_IGN)
		add(&defaults, SIGINT);
	if (old_quit.handler != SIG_IGN)
		add(&defaults, SIGQUIT);
	ht_libc()->posix_spawnattr_init(&attributes);
	ht_libc()->posix_spawnattr_setsigmask(&attributes, &call->old_mask);
	ht_libc()->posix_spawnattr_setsigdefault(&attributes, &defaults);
	ht_libc()->posix_spawnattr_setflags(&attributes,
					    POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	error = next_spawn(&call->pid, _PATH_BSHELL, NULL, &attributes, argv, envp);
	ht_libc()->posix_spawnattr_destroy(&attributes);
	if (!error)
		ht_unrecorded_started(plan, argv, call->pid);
	return error;
}

static int run(const struct follow_plan *plan, const char *line, char *const envp[])
{
	struct call call;
	int status = 127 << 8, error;
	pid_t got;

	enter(&call);
	error = start(&call, plan, line, envp);
	if (!error) {
		pthread_cleanup_push(give_up, &call);
		do
			got = ht_libc()->waitpid(call.pid, &status, 0);
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

	prim_lock(&lock);
	envp = environ;
	prim_unlock(&lock);
	return envp;
}

HT_EXPORT int HT_API(system)(const char *line)
{
	struct follow_plan plan;
	char *const *envp = environment();
	size_t bytes = line ? ht_follow_plan(&plan, AT_FDCWD, _PATH_BSHELL, false, envp, true) : 0;

	if (bytes)
		envp = ht_follow_make(&plan, envp, __builtin_alloca(bytes));
	if (line && (bytes || plan.image.reason != IMAGE_RECORDABLE) && next_spawn)
		return run(&plan, line, envp);
	if (next_system)
		return next_system(line);
	errno = ENOSYS;
	return -1;
}

/* Room for an environment that another thread may look at, even when it is over: it is used again
 * much later only. */
struct room {
	void *memory;
	size_t bytes;
};

static void *room_for(struct room *room, size_t bytes)
{
	if (bytes > room->bytes) {
		void *memory = mmap(NULL, bytes * 2, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			return NULL;
		room->memory = memory;
		room->bytes = bytes * 2;
	}
	return room->memory;
}

/* What the C library starts by itself gets the environment there is, so that is another one for as long
 * as this takes. */
struct swap {
	char **usual, **ours;
};

/* The lock is held. */
static void swap_in(struct swap *swap, const struct follow_plan *plan, struct room *room,
		    size_t bytes)
{
	void *memory = room_for(room, bytes);

	swap->usual = environ;
	swap->ours = memory ? (char **)ht_follow_make(plan, environ, memory) : environ;
	environ = swap->ours;
}

static void swap_out(const struct swap *swap)
{
	/* Unless somebody has set a variable meanwhile. */
	if (environ == swap->ours)
		environ = swap->usual;
}

HT_EXPORT FILE *HT_API(popen)(const char *line, const char *mode)
{
	static struct room rooms[16];
	static unsigned turn;
	struct follow_plan plan;
	struct swap swap;
	FILE *file = NULL;
	size_t bytes;

	if (!next_popen) {
		errno = ENOSYS;
		return NULL;
	}
	prim_lock(&lock);
	bytes = ht_follow_plan(&plan, AT_FDCWD, _PATH_BSHELL, false, environ, true);
	if (bytes) {
		swap_in(&swap, &plan, &rooms[turn++ % 16], bytes);
		file = next_popen(line, mode);
		swap_out(&swap);
	}
	prim_unlock(&lock);
	if (!bytes)
		file = next_popen(line, mode);
	/* Which process it is nobody says. */
	if (file)
		ht_unrecorded_started(&plan,
				      (char *const[]){ (char *)"sh", (char *)"-c",
						       (char *)(uintptr_t)line, NULL },
				      0);
	return file;
}

/* A shell needs another environment than there is. */
static bool needs_environment(void)
{
	struct follow_plan plan;

	return ht_follow_plan(&plan, AT_FDCWD, _PATH_BSHELL, false, environment(), true) != 0;
}

HT_EXPORT int HT_API(wordexp)(const char *restrict words, wordexp_t *restrict ret, int flags)
{
	static struct room room;
	struct follow_plan plan;
	struct swap swap;
	size_t bytes;
	int result;

	if (!next_wordexp)
		return WRDE_NOSPACE;
	if ((flags & WRDE_NOCMD) || !needs_environment())
		return next_wordexp(words, ret, flags);
	prim_lock(&expanding);
	prim_lock(&lock);
	bytes = ht_follow_plan(&plan, AT_FDCWD, _PATH_BSHELL, false, environ, true);
	if (bytes)
		swap_in(&swap, &plan, &room, bytes);
	prim_unlock(&lock);
	result = next_wordexp(words, ret, flags);
	prim_lock(&lock);
	if (bytes)
		swap_out(&swap);
	prim_unlock(&lock);
	prim_unlock(&expanding);
	return result;
}
