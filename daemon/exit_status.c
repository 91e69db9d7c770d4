#include "daemon/exit_status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From the kernel's interface, which the system's headers may be older than. */
struct exit_info {
	uint64_t mask;
	uint64_t cgroup;
	uint32_t ids[11];
	int32_t status;
};
_Static_assert(sizeof(struct exit_info) == 64, "the interface's first version");

#define EXIT_INFO_GET _IOWR(0xFF, 11, struct exit_info)
#define EXIT_INFO_STATUS (UINT64_C(1) << 3)

/* The last field of a zombie's /proc/PID/stat. The descriptor says that the pid is still its. */
static int zombie_status(int pidfd, pid_t pid, int *ret_status)
{
	char path[64], text[1024], *state;
	ssize_t got = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		got = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (got <= 0)
		return -EAGAIN;
	text[got] = '\0';
	state = strrchr(text, ')');
	if (!state || strncmp(state, ") Z ", 4) != 0 ||
	    syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) != 0)
		return -EAGAIN;
	*ret_status = atoi(strrchr(state, ' '));
	return 0;
}

int exit_status_get(int pidfd, pid_t pid, int *ret_status)
{
	struct exit_info info = { .mask = EXIT_INFO_STATUS };

	if (pidfd < 0)
		return -ENOTSUP;
	if (zombie_status(pidfd, pid, ret_status) == 0)
		return 0;
	if (ioctl(pidfd, EXIT_INFO_GET, &info) != 0)
		return errno == ENOTTY || errno == EINVAL ? -ENOTSUP : -EAGAIN;
	if (!(info.mask & EXIT_INFO_STATUS))
		return -EAGAIN;
	*ret_status = info.status;
	return 0;
}
