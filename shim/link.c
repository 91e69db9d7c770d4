#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "proto/event.h"
#include "shim/clock.h"
#include "shim/link.h"
#include "shim/ring.h"
#include "shim/sys.h"
#include "shim/tell.h"

struct link ht_link = { .fd = -1, .parent_fd = -1 };

static uint8_t unsent[LINK_MAX_FRAME];

void ht_link_lock(struct link_hold *hold)
{
	uint32_t seen = 0;

	sys_signals_block(&hold->signals);
	if (__atomic_compare_exchange_n(&ht_link.lock, &seen, 1, false, __ATOMIC_ACQUIRE,
					__ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(&ht_link.lock, 2, __ATOMIC_ACQUIRE) != 0)
		sys_call4(SYS_futex, &ht_link.lock, FUTEX_WAIT_PRIVATE, 2, 0);
}

bool ht_link_try_lock(struct link_hold *hold)
{
	uint32_t seen = 0;

	sys_signals_block(&hold->signals);
	if (__atomic_compare_exchange_n(&ht_link.lock, &seen, 1, false, __ATOMIC_ACQUIRE,
					__ATOMIC_RELAXED)) {
		if (ht_link.state == LINK_ON && !ht_link.unsent_bytes)
			return true;
		ht_link_unlock(hold);
		return false;
	}
	sys_signals_restore(&hold->signals);
	return false;
}

void ht_link_unlock(const struct link_hold *hold)
{
	if (__atomic_exchange_n(&ht_link.lock, 0, __ATOMIC_RELEASE) == 2)
		sys_call3(SYS_futex, &ht_link.lock, FUTEX_WAKE_PRIVATE, 1);
	sys_signals_restore(&hold->signals);
}

#define HIGH_BASE 1000
#define HIGH_LIMIT 4096

/* A descriptor with a number the program cannot have: its limit is raised for this moment. Then all
 * that the limit allows is still the program's. */
static long move_above(int fd, const struct rlimit *limit)
{
	struct rlimit raised = { limit->rlim_cur + 1, limit->rlim_max };
	long high;

	if (limit->rlim_cur > HIGH_LIMIT || raised.rlim_cur > raised.rlim_max ||
	    sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, &raised, 0) < 0)
		return -1;
	high = sys_call3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, limit->rlim_cur);
	sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, limit, 0);
	return high;
}

/* A number where programs that count on getting the lowest descriptors never look. */
static int move_high(int fd)
{
	struct rlimit limit = { HIGH_LIMIT + 1, HIGH_LIMIT + 1 };
	long high;

	sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &limit);
	high = move_above(fd, &limit);
	if (high < 0)
		high = sys_call3(SYS_fcntl, fd, F_DUPFD_CLOEXEC,
				 limit.rlim_cur < 1024 ? limit.rlim_cur * 7 / 8 : HIGH_BASE);
	if (high < 0)
		return fd;
	sys_call1(SYS_close, fd);
	return (int)high;
}

/* The socket's identity, 0 when fd is not open. A filter may forbid to ask: then it is believed. */
static uint64_t inode_of(int fd)
{
	struct stat status = { 0 };
	long ret = sys_call2(SYS_fstat, fd, &status);

	return ret == -EBADF ? 0 : ret < 0 ? ht_link.inode : status.st_ino;
}

/* Beyond the system's limit where we may; else up to it. */
static void make_room(long fd)
{
	int bytes = 1 << 20;

	if (sys_call5(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		sys_call5(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static long connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	long fd, ret;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = sys_call3(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	make_room(fd);
	do
		ret = sys_call3(SYS_connect, fd, &address, sizeof(address));
	while (ret == -EINTR);
	if (ret < 0) {
		sys_call1(SYS_close, fd);
		return ret;
	}
	return fd;
}

/* A descriptor on its way to the daemon. */
union passed {
	struct cmsghdr head;
	char space[CMSG_SPACE(sizeof(int))];
};

static void pass(union passed *control, int fd)
{
	*control = (union passed){ .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
					     .cmsg_level = SOL_SOCKET,
					     .cmsg_type = SCM_RIGHTS } };
	memcpy(CMSG_DATA(&control->head), &fd, sizeof(fd));
}

static long send_some(int fd, struct iovec *iov, unsigned parts, union passed *control, int flags)
{
	struct msghdr message = { .msg_iov = iov,
				  .msg_iovlen = parts,
				  .msg_control = control,
				  .msg_controllen = control ? sizeof(*control) : 0 };
	long ret;

	do
		ret = sys_call3(SYS_sendmsg, fd, &message, MSG_NOSIGNAL | flags);
	while (ret == -EINTR);
	return ret;
}

/* Hands the daemon one end of a new connection; see proto/wire.h. */
static long connect_through(int parent_fd)
{
	struct iovec byte = { (char[]){ 0 }, 1 };
	union passed control;
	int ends[2] = { -1, -1 };
	long ret;

	ret = sys_call4(SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
	if (ret < 0)
		return ret;
	make_room(ends[0]);
	pass(&control, ends[1]);
	ret = send_some(parent_fd, &byte, 1, &control, ht_link.drop_when_full ? MSG_DONTWAIT : 0);
	sys_call1(SYS_close, ends[1]);
	if (ret < 0) {
		sys_call1(SYS_close, ends[0]);
		return ret;
	}
	return ends[0];
}

int ht_link_open(const char *path)
{
	long fd = connect_to(path);

	if (fd < 0 && ht_link.parent_fd >= 0) {
		long through = connect_through(ht_link.parent_fd);

		fd = through < 0 ? fd : through;
	}
	if (fd < 0)
		return (int)fd;
	ht_link.fd = move_high((int)fd);
	ht_link.inode = inode_of(ht_link.fd);
	ht_link.unsent_bytes = 0;
	return 0;
}

/* Takes the first `bytes` bytes off an iovec array. */
static void advance(struct iovec **iov, unsigned *parts, size_t bytes)
{
	while (*parts && bytes >= (*iov)->iov_len) {
		bytes -= (*iov)->iov_len;
		(*iov)++;
		(*parts)--;
	}
	if (*parts) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + bytes;
		(*iov)->iov_len -= bytes;
	}
}

static int send_first(int fd, struct iovec *iov, unsigned parts, int passed_fd)
{
	union passed control, *passed = passed_fd >= 0 ? &control : NULL;

	pass(&control, passed_fd);
	while (parts) {
		long ret = send_some(fd, iov, parts, passed, 0);

		if (ret < 0)
			return (int)ret;
		passed = NULL;
		advance(&iov, &parts, (size_t)ret);
	}
	return 0;
}

int ht_link_first(struct iovec *iov, unsigned parts, int passed_fd)
{
	int error = send_first(ht_link.fd, iov, parts, passed_fd);

	if (!error)
		ht_link.frames = 1;
	return error;
}

int ht_link_beside(const char *path)
{
	long fd = -EBADF;

	/* This is open to processes that have changed their root or their user. */
	if (inode_of(ht_link.fd) == ht_link.inode)
		fd = connect_through(ht_link.fd);
	return (int)(fd < 0 ? connect_to(path) : fd);
}

bool ht_link_send_beside(int fd, struct iovec frame, int passed_fd)
{
	return send_first(fd, &frame, 1, passed_fd) == 0;
}

/* What an error of send means: -EAGAIN to come back later, or the end of the recording. */
static int failed(long error)
{
	if (error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM)
		return -EAGAIN;
	ht_link_off("lost the connection to heaptaped", (int)-error);
	return -EPIPE;
}

int ht_link_push(void)
{
	while (ht_link.unsent_bytes) {
		struct iovec iov = { unsent + ht_link.unsent_at, ht_link.unsent_bytes };
		long ret;

		if (ht_link.state != LINK_ON)
			return -EPIPE;
		ret = send_some(ht_link.fd, &iov, 1, NULL, MSG_DONTWAIT);
		if (ret < 0)
			return failed(ret);
		ht_link.unsent_at += (uint32_t)ret;
		ht_link.unsent_bytes -= (uint32_t)ret;
	}
	return 0;
}

/* A program can close or replace our descriptor by system calls of its own making; what it has put
 * there instead must not get our bytes. */
static bool still_ours(void)
{
	if (inode_of(ht_link.fd) == ht_link.inode)
		return true;
	ht_link.fd = -1;
	ht_link_off("the program closed the connection to heaptaped", EBADF);
	return false;
}

/* Of a frame that was taken up to here. */
static void keep_unsent(struct iovec *iov, unsigned parts, size_t taken)
{
	ht_link.frames++;
	advance(&iov, &parts, taken);
	ht_link.unsent_at = 0;
	for (; parts; iov++, parts--) {
		memcpy(unsent + ht_link.unsent_bytes, iov->iov_base, iov->iov_len);
		ht_link.unsent_bytes += (uint32_t)iov->iov_len;
	}
}

int ht_link_send(struct iovec *iov, unsigned parts)
{
	int error = -EPIPE;
	long ret = 0;

	if (ht_link.state == LINK_ON)
		error = still_ours() ? ht_link_push() : -EPIPE;
	if (!error) {
		ret = send_some(ht_link.fd, iov, parts, NULL, MSG_DONTWAIT);
		if (ret < 0)
			error = failed(ret);
	}
	if (error) {
		ht_link.refused = true;
		return error;
	}
	keep_unsent(iov, parts, (size_t)ret);
	return 0;
}

int ht_link_pass(struct iovec frame, int passed_fd)
{
	union passed control;
	int error;
	long ret;

	if (ht_link.state != LINK_ON || !still_ours())
		return -EPIPE;
	error = ht_link_push();
	if (error)
		return error;
	pass(&control, passed_fd);
	ret = send_some(ht_link.fd, &frame, 1, &control, MSG_DONTWAIT);
	if (ret >= 0)
		keep_unsent(&frame, 1, (size_t)ret);
	else if (
		ret !=
		-EAGAIN) /* a user's descriptors in flight are counted; the rest is seen next time */
		return -EPERM;
	return ret < 0 ? -EAGAIN : 0;
}

static void wait_at_most(unsigned milliseconds)
{
	struct pollfd poll = { .fd = ht_link.fd, .events = POLLOUT };
	struct timespec limit = { milliseconds / 1000, milliseconds % 1000 * 1000000L };

	sys_call5(SYS_ppoll, &poll, 1, &limit, 0, 0);
}

void ht_link_wait(void)
{
	uint64_t began = ht_clock_ns(CLOCK_MONOTONIC);

	/* Not for ever: the descriptor may be moved to another number meanwhile. */
	wait_at_most(200);
	ht_loss_add(LOSS_WAIT_NS, ht_clock_ns(CLOCK_MONOTONIC) - began);
}

void ht_link_drain(unsigned milliseconds)
{
	uint64_t until = ht_clock_ns(CLOCK_MONOTONIC) + milliseconds * 1000000ull;

	while (ht_link.state == LINK_ON && ht_link.unsent_bytes) {
		struct link_hold hold;
		int error;

		ht_link_lock(&hold);
		error = ht_link_push();
		ht_link_unlock(&hold);
		if (error != -EAGAIN || ht_clock_ns(CLOCK_MONOTONIC) >= until)
			break;
		wait_at_most(10);
	}
}

void ht_link_off(const char *why, int error)
{
	static const uint32_t off;

	ht_control_set(&off);
	if (ht_link.state == LINK_OFF)
		return;
	/* Ours: in a child it is still the parent's. */
	if (ht_link.state == LINK_ON && why && ht_ring.shared)
		__atomic_store_n(&ht_ring.head->end_how, PROCESS_CUT, __ATOMIC_RELEASE);
	ht_link.state = LINK_OFF;
	if (ht_link.fd >= 0)
		sys_call1(SYS_close, ht_link.fd);
	ht_link.fd = -1;
	if (why)
		ht_tell("%s (%e); the program goes on unrecorded", why, error);
}

void ht_link_inherit(void)
{
	bool ours = ht_link.fd >= 0 && inode_of(ht_link.fd) == ht_link.inode;

	ht_link.parent_fd = ours ? ht_link.fd : -1;
	ht_link.fd = -1;
	ht_link.state = LINK_NONE;
	ht_link.lock = 0;
	ht_link.unsent_bytes = 0;
	ht_link.frames = 0;
}

void ht_link_forget(void)
{
	if (ht_link.parent_fd >= 0)
		sys_call1(SYS_close, ht_link.parent_fd);
	ht_link.parent_fd = -1;
}
