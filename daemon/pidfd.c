#include "daemon/pidfd.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* From the kernel's interface, which the system's headers may be older than. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#define PIDFS_MAGIC 0x50494446

int pidfd_of_peer(int connection, pid_t pid)
{
	socklen_t bytes = sizeof(int);
	int pidfd = -1;

	if (getsockopt(connection, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &bytes) == 0)
		return pidfd;
	return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

uint64_t pidfd_identity(int pidfd)
{
	struct stat status;
	struct statfs system;

	if (pidfd < 0 || fstatfs(pidfd, &system) != 0 || system.f_type != PIDFS_MAGIC ||
	    fstat(pidfd, &status) != 0)
		return 0;
	return status.st_ino;
}

bool pidfd_has_ended(int pidfd)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };

	return pidfd < 0 || poll(&poll_fd, 1, 0) > 0;
}

pid_t pidfd_pid(int pidfd)
{
	char path[64], text[512];
	const char *line;
	ssize_t got;
	int fd, pid;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	fd = pidfd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[got > 0 ? got : 0] = 0;
	line = strstr(text, "\nPid:");
	return line && sscanf(line, "\nPid: %d", &pid) == 1 && pid > 0 ? pid : 0;
}

pid_t pid_parent(pid_t pid)
{
	char path[64], text[1024];
	const char *end;
	ssize_t got;
	int fd, parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got <= 0)
		return 0;
	text[got] = 0;
	/* "PID (NAME) STATE PARENT ...", and a name may contain anything. */
	end = strrchr(text, ')');
	return end && sscanf(end, ") %*c %d", &parent) == 1 ? parent : 0;
}
