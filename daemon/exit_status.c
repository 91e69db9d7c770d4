#include "daemon/exit_status.h"

#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>

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

int exit_status_get(int pidfd, int *ret_status)
{
	struct exit_info info = { .mask = EXIT_INFO_STATUS };

	if (pidfd < 0)
		return -ENOTSUP;
	if (ioctl(pidfd, EXIT_INFO_GET, &info) != 0)
		return errno == ENOTTY || errno == EINVAL ? -ENOTSUP : -EAGAIN;
	if (!(info.mask & EXIT_INFO_STATUS))
		return -EAGAIN;
	*ret_status = info.status;
	return 0;
}
