#include "daemon/pending.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/pidfd.h"

/* Few entries at a time: a process that ends after it was listed may have left a child that is not in
 * the list. */
#define LIST_BYTES 256
#define TRIES_MAX 1000u
#define ENVIRON_BYTES (64u << 10)
/* Process flags in /proc/PID/stat. */
#define EXITING 0x00000004u
#define KERNEL_THREAD 0x00200000u

enum member { MEMBER_NO, MEMBER_YES, MEMBER_UNSURE, MEMBER_GONE };

static int open_of(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The start of a file of /proc/PID, as text. False: there is none, or it is empty. */
static bool read_start(pid_t pid, const char *name, char *to, size_t room)
{
	int fd = open_of(pid, name);
	ssize_t got = fd < 0 ? -1 : read(fd, to, room - 1);

	if (fd >= 0)
		close(fd);
	to[got > 0 ? got : 0] = '\0';
	return got > 0;
}

/* A process without an environment to read: it has ended, it never had one, or it is in the middle of
 * exec, when the new one is not in place yet. */
static enum member without_environment(pid_t pid)
{
	char stat[512], command[2], state;
	const char *end;
	unsigned flags;

	if (!read_start(pid, "stat", stat, sizeof(stat)))
		return MEMBER_GONE;
	end = strrchr(stat, ')'); /* the name before it may contain anything */
	if (!end || sscanf(end, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
		return MEMBER_NO;
	if (state == 'Z' || state == 'X' || (flags & EXITING))
		return MEMBER_GONE;
	if ((flags & KERNEL_THREAD) || read_start(pid, "cmdline", command, sizeof(command)))
		return MEMBER_NO;
	return MEMBER_UNSURE;
}

/* Whether the process has `entry` (with its zero byte, `bytes` long) in its environment. */
static enum member is_member(pid_t pid, const char *entry, size_t bytes)
{
	static char text[1 + ENVIRON_BYTES]; /* what went before, then what is read */
	size_t kept = 1;
	bool any = false, found = false;
	int fd = open_of(pid, "environ");
	ssize_t got;

	if (fd < 0)
		return errno == ENOENT || errno == ESRCH   ? MEMBER_GONE
		       : errno == EACCES || errno == EPERM ? MEMBER_NO
							   : MEMBER_UNSURE;
	text[0] = '\0';
	while (!found && (got = read(fd, text + kept, sizeof(text) - kept)) > 0) {
		size_t have = kept + (size_t)got;

		any = true;
		found = memmem(text, have, entry, bytes) != NULL;
		kept = have < bytes ? have : bytes;
		memmove(text, text + have - kept, kept);
	}
	close(fd);
	return found ? MEMBER_YES : any ? MEMBER_NO : without_environment(pid);
}

/* A member is among those found; the first is watched. */
static enum member take(struct pending *pending, pid_t pid, const char *entry, size_t bytes)
{
	enum member member = is_member(pid, entry, bytes);
	int pidfd;

	if (member == MEMBER_UNSURE)
		pending->unsure++;
	if (member != MEMBER_YES)
		return member;
	if (pending->pidfd < 0) {
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		/* The number may be another process's by now. */
		member = is_member(pid, entry, bytes);
		if (member != MEMBER_YES || pidfd_has_ended(pidfd)) {
			if (pidfd >= 0)
				close(pidfd);
			return MEMBER_GONE;
		}
		pending->pid = pid;
		pending->pidfd = pidfd;
	}
	pending->count++;
	return MEMBER_YES;
}

/* Examines the processes in a list. True: all of them were there when they were. */
static bool take_listed(struct pending *pending, const char *list, ssize_t listed,
			const char *entry, size_t bytes, off_t *ret_next)
{
	bool all = true;

	for (ssize_t at = 0; at < listed;) {
		const struct dirent64 *one = (const struct dirent64 *)(list + at);
		pid_t pid = (pid_t)strtol(one->d_name, NULL, 10);

		if (pid > 0 && take(pending, pid, entry, bytes) == MEMBER_GONE)
			all = false;
		*ret_next = one->d_off;
		at += one->d_reclen;
	}
	return all;
}

/* As getdents64(2), with no bytes of an earlier call in between. */
static ssize_t list_some(int proc, char list[LIST_BYTES])
{
	memset(list, 0, LIST_BYTES);
	return getdents64(proc, list, LIST_BYTES);
}

/*
 * Examines all processes in the order of their numbers. A child has a higher number than its parent,
 * unless the numbers have begun anew, so one that is born meanwhile is still to come in the list. The
 * exception are those that are listed together: when one of them has ended, the list is made again until
 * it stays the same. False: it could not be done.
 */
static bool search(struct pending *pending, int proc, const char *entry, size_t bytes)
{
	char list[2][LIST_BYTES] __attribute__((aligned(8)));
	off_t from = 0, next = 0;
	unsigned tries = 0, which = 0;
	ssize_t listed = list_some(proc, list[0]), again;

	while (listed > 0) {
		unsigned count = pending->count, unsure = pending->unsure;
		bool all = take_listed(pending, list[which], listed, entry, bytes, &next);

		if (!all) {
			if (lseek(proc, from, SEEK_SET) < 0)
				return false;
			again = list_some(proc, list[!which]);
			if (again < 0)
				return false;
			all = again == listed && memcmp(list[0], list[1], LIST_BYTES) == 0;
		}
		if (all) {
			from = next;
			listed = list_some(proc, list[which]);
			continue;
		}
		if (++tries > TRIES_MAX)
			return false;
		pending->count = count;
		pending->unsure = unsure;
		listed = again;
		which = !which;
	}
	return listed == 0;
}

/* The number of the latest process, by which one can tell whether numbers have begun anew. */
static long latest_pid(void)
{
	char text[128], *last;
	int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = '\0';
	last = strrchr(text, ' ');
	return last ? strtol(last, NULL, 10) : 0;
}

void pending_release(struct pending *pending)
{
	if (pending->pidfd >= 0)
		close(pending->pidfd);
	*pending = (struct pending){ .pidfd = -1 };
}

unsigned pending_count(struct pending *pending, uint64_t token)
{
	char entry[48];
	size_t bytes =
		(size_t)snprintf(entry, sizeof(entry), "%cHEAPTAPE_RUN=%" PRIu64, 0, token) + 1;
	long latest = latest_pid();
	bool done;
	int proc;

	if (pending->pidfd >= 0 && !pidfd_has_ended(pending->pidfd) &&
	    is_member(pending->pid, entry, bytes) != MEMBER_NO)
		return pending->count;
	pending_release(pending);
	if (!token)
		return 0;
	proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return errno != ENOENT; /* else later */
	done = search(pending, proc, entry, bytes) && latest_pid() >= latest;
	close(proc);
	/* Who is in the middle of exec may be anybody: that matters only where nobody else goes on. */
	if (!pending->count)
		pending->count = pending->unsure;
	return !done && !pending->count ? 1 : pending->count;
}
