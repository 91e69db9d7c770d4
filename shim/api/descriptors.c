/*
 * The calls by which a program closes or replaces descriptors it may not have opened. Ours behaves
 * as if it were not there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shim/alloc/types.h"
#include "shim/control.h"
#include "shim/libc.h"
#include "shim/link.h"
#include "shim/prim.h"
#include "shim/sys.h"

/* The connection's descriptor; -1 when there is none. */
static int guarded(void)
{
	return __atomic_load_n(&ht_link.fd, __ATOMIC_RELAXED);
}

static int bad_descriptor(void)
{
	errno = EBADF;
	return -1;
}

/* The program wants our number: ours moves on to the next free one. Not in a vfork child: it has
 * our memory, but descriptors of its own. */
static void make_way(int fd)
{
	struct link_hold hold;

	if (fd < 0 || fd != guarded() || sys_call0(SYS_getpid) != ht_pid)
		return;
	ht_link_lock(&hold);
	if (fd == ht_link.fd) {
		long moved = -EPERM;

		if (prim_may(PRIM_MOVE))
			moved = sys_call3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, fd + 1);
		if (moved < 0 && prim_may(PRIM_MOVE))
			moved = sys_call3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
		if (moved < 0)
			ht_link_off("no descriptor left for the connection to heaptaped",
				    (int)-moved);
		else
			__atomic_store_n(&ht_link.fd, (int)moved, __ATOMIC_RELAXED);
	}
	ht_link_unlock(&hold);
}

HT_EXPORT int HT_API(close)(int fd)
{
	/* Who found it in /proc/self/fd would wonder if it were not open; once closed, it is not. */
	static uint32_t closed;

	if (fd >= 0 && fd == guarded())
		return __atomic_exchange_n(&closed, 1, __ATOMIC_RELAXED) ? bad_descriptor() : 0;
	/* A cancellation point, like the one this stands for. */
	return ht_libc()->__close(fd);
}

HT_EXPORT int HT_API(dup2)(int from, int to)
{
	if (from >= 0 && from == guarded())
		return bad_descriptor();
	make_way(to);
#ifdef SYS_dup2 /* as the C library does: a filter of system calls may allow only this */
	return (int)sys_result(sys_call2(SYS_dup2, from, to));
#else
	if (from == to)
		return (int)sys_result(sys_call2(SYS_fcntl, from, F_GETFD)) < 0 ? -1 : to;
	return (int)sys_result(sys_call3(SYS_dup3, from, to, 0));
#endif
}

HT_EXPORT int HT_API(dup3)(int from, int to, int flags)
{
	if (from >= 0 && from == guarded())
		return bad_descriptor();
	if (from != to)
		make_way(to);
	return (int)sys_result(sys_call3(SYS_dup3, from, to, flags));
}

/* Around ours, not over it. */
static long close_range_around(unsigned first, unsigned last, int flags)
{
	int fd = guarded();
	long ret = 0;

	if (fd < 0 || (unsigned)fd < first || (unsigned)fd > last)
		return sys_call3(SYS_close_range, first, last, flags);
	if (first < (unsigned)fd)
		ret = sys_call3(SYS_close_range, first, fd - 1, flags);
	if (ret >= 0 && last > (unsigned)fd)
		ret = sys_call3(SYS_close_range, fd + 1, last, flags);
	return ret;
}

HT_EXPORT int HT_API(close_range)(unsigned first, unsigned last, int flags)
{
	if (first > last) {
		errno = EINVAL;
		return -1;
	}
	return (int)sys_result(close_range_around(first, last, flags));
}

HT_EXPORT void HT_API(closefrom)(int first)
{
	unsigned from = first < 0 ? 0 : (unsigned)first;

	if (close_range_around(from, ~0u, 0) < 0) {
		/* A kernel without close_range: one by one, as far as descriptors can go. */
		struct rlimit limit = { 1024, 1024 };

		sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &limit);
		for (rlim_t fd = from; fd < limit.rlim_cur; fd++)
			if ((int)fd != guarded())
				sys_call1(SYS_close, fd);
	}
}
