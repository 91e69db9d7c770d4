/*
 * What the daemon asks the system, answered as an input says: what time it is, which processes live
 * and how they ended. Stands in the place of daemon/clock.c, pidfd.c, pending.c and exit_status.c,
 * which the linker then needs not. So an input means the same whenever and wherever it is tried, and
 * a timeout takes no time.
 *
 * A process is a pipe: what would be a pidfd is its reading end, and something to read is the end.
 */
#ifndef HEAPTAPE_TESTS_FUZZ_OWN_WORLD_H
#define HEAPTAPE_TESTS_FUZZ_OWN_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/exit_status.h"
#include "daemon/pending.h"
#include "daemon/pidfd.h"

#define WORLD_BEGINS_NS 1000000000000000u
#define WORLD_BEGAN_AT_NS 1700000000000000000u

static struct {
	uint64_t now_ns;
	unsigned pending; /* processes of runs that are not connected */
	int status_error; /* what exit_status_get() returns */
	int status;
	bool over;     /* nobody lives any more */
	pid_t sleeper; /* a real process that does nothing, and may be stopped */
	bool sleeper_rests;
} world;

/* The reading end of the process at the other side of this connection; -1: it is not known. */
static int world_process_of(int connection);

void clock_start(void)
{
}

struct clock_scale clock_scale_get(bool cycles)
{
	(void)cycles;
	return (struct clock_scale){ .ns_per_tick = UINT64_C(1) << 32 };
}

uint64_t clock_ticks_now(bool cycles)
{
	(void)cycles;
	return world.now_ns;
}

uint64_t clock_monotonic_ns(void)
{
	return world.now_ns;
}

uint64_t clock_realtime_ns(void)
{
	return WORLD_BEGAN_AT_NS + world.now_ns;
}

int pidfd_of_peer(int connection, pid_t pid)
{
	int process = world_process_of(connection);

	(void)pid;
	return process < 0 ? -1 : fcntl(process, F_DUPFD_CLOEXEC, 0);
}

uint64_t pidfd_identity(int pidfd)
{
	struct stat status;

	return pidfd >= 0 && fstat(pidfd, &status) == 0 ? status.st_ino : 0;
}

bool pidfd_has_ended(int pidfd)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };

	return world.over || pidfd < 0 || poll(&poll_fd, 1, 0) > 0;
}

pid_t pidfd_pid(int pidfd)
{
	return pidfd < 0 ? 0 : 3;
}

pid_t pid_parent(pid_t pid)
{
	return pid - 1;
}

unsigned pending_count(struct pending *pending, uint64_t token)
{
	(void)pending;
	return token && !world.over ? world.pending : 0;
}

void pending_release(struct pending *pending)
{
	pending->pidfd = -1;
}

int exit_status_get(int pidfd, pid_t pid, int *ret_status)
{
	(void)pid;
	if (pidfd < 0 || world.status_error)
		return pidfd < 0 ? -ENOTSUP : world.status_error;
	*ret_status = world.status;
	return 0;
}

static inline void world_make(void)
{
	world.sleeper = fork();
	if (world.sleeper == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
}

/* Stops the sleeper, or lets it go on. */
static inline void world_rest(bool rest)
{
	int status;

	if (world.sleeper <= 0 || rest == world.sleeper_rests)
		return;
	kill(world.sleeper, rest ? SIGSTOP : SIGCONT);
	waitpid(world.sleeper, &status, rest ? WUNTRACED : WCONTINUED);
	world.sleeper_rests = rest;
}

static inline void world_begin(void)
{
	world.now_ns = WORLD_BEGINS_NS;
	world.pending = 0;
	world.status_error = -ENOTSUP;
	world.over = false;
	world_rest(false);
}

#endif
