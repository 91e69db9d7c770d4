#include "shim/api/unrecorded.h"

#include <sys/mman.h>

#include "proto/image.h"
#include "proto/wire.h"
#include "shim/api/follow.h"
#include "shim/link.h"
#include "shim/ring.h"
#include "shim/settings.h"
#include "shim/sys.h"

/* Field numbers of proto/event.proto. */
enum { FRAME_UNRECORDED = 18 };
enum {
	UNRECORDED_RUN_TOKEN = 1,
	UNRECORDED_PID,
	UNRECORDED_PARENT_PID,
	UNRECORDED_REASON,
	UNRECORDED_EXECUTABLE,
	UNRECORDED_COMMAND,
	UNRECORDED_DEVICE,
	UNRECORDED_INODE,
	UNRECORDED_STARTED
};

/* Before the message: the frame's length, its tag, and the message's length as a varint of exactly
 * three bytes. */
#define HEAD_BYTES (WIRE_HEADER_BYTES + 2 + 3)
#define TAG_LOW (uint8_t)(FRAME_UNRECORDED << 3 | WIRE_BYTES | 0x80)
#define TAG_HIGH (uint8_t)(FRAME_UNRECORDED << 3 >> 7)
#define ROOM_BYTES (36u << 10)
#define LITTLE_ROOM_BYTES 2048u /* where RLIMIT_DATA leaves no more */

/* The program that this process becomes, or has started. */
enum moment { BECOMES, STARTED };

/* A command that is too long is cut. */
static size_t put_frame(uint8_t *out, size_t room, const struct follow_plan *plan,
			char *const argv[], enum moment moment, pid_t pid)
{
	struct wire_put put = { out + HEAD_BYTES, out + room, 0 };
	size_t bytes;
	uint32_t length;

	wire_put_fixed64(&put, UNRECORDED_RUN_TOKEN, ht_settings.run_token);
	wire_put_fixed32(&put, UNRECORDED_PID, (uint32_t)pid);
	wire_put_fixed32(&put, UNRECORDED_PARENT_PID,
			 (uint32_t)sys_call0(moment == STARTED ? SYS_getpid : SYS_getppid));
	wire_put_uint(&put, UNRECORDED_REASON, plan->image.reason);
	wire_put_bytes(&put, UNRECORDED_EXECUTABLE, plan->path,
		       strnlen(plan->path, FOLLOW_PATH_BYTES));
	wire_put_fixed64(&put, UNRECORDED_DEVICE, plan->image.device);
	wire_put_fixed64(&put, UNRECORDED_INODE, plan->image.inode);
	wire_put_uint(&put, UNRECORDED_STARTED, moment == STARTED);
	for (; argv && *argv; argv++) {
		bytes = strlen(*argv);
		if (bytes + WIRE_HEADER_BYTES > (size_t)(put.end - put.at))
			break;
		wire_put_bytes(&put, UNRECORDED_COMMAND, *argv, bytes);
	}

	bytes = (size_t)(put.at - (out + HEAD_BYTES));
	length = (uint32_t)bytes + HEAD_BYTES - WIRE_HEADER_BYTES;
	memcpy(out, &length, sizeof(length));
	out[4] = TAG_LOW;
	out[5] = TAG_HIGH;
	out[6] = (uint8_t)(bytes | 0x80);
	out[7] = (uint8_t)(bytes >> 7 | 0x80);
	out[8] = (uint8_t)(bytes >> 14);
	return HEAD_BYTES + bytes;
}

/* There is nothing to tell; or it could not be told, so it was counted. */
enum { NOTHING = -1, COUNTED = -2 };

static void count(int programs)
{
	__atomic_fetch_add(&ht_ring.head->lost_execs, (uint32_t)programs, __ATOMIC_RELAXED);
}

/* Returns the connection, or one of the above. */
static int tell(const struct follow_plan *plan, char *const argv[], enum moment moment, pid_t pid)
{
	uint8_t little[LITTLE_ROOM_BYTES];
	int connection;
	long memory, pidfd;
	bool told = false;

	if (plan->image.reason == IMAGE_RECORDABLE || ht_link.state != LINK_ON)
		return NOTHING;
	if (plan->image.reason == IMAGE_FILTER) { /* nor can a connection be made */
		count(1);
		return COUNTED;
	}
	connection = ht_link_beside(ht_settings.socket);
	memory = sys_call6(SYS_mmap, 0, ROOM_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pidfd = moment == STARTED && pid ? sys_call2(SYS_pidfd_open, pid, 0) : -1;
	if (connection >= 0) {
		uint8_t *out = memory > 0 ? (uint8_t *)memory : little;
		size_t room = memory > 0 ? ROOM_BYTES : LITTLE_ROOM_BYTES;
		struct iovec frame = { out, put_frame(out, room, plan, argv, moment, pid) };

		told = ht_link_send_beside(connection, frame, (int)pidfd);
	}
	if (pidfd >= 0)
		sys_call1(SYS_close, pidfd);
	if (memory > 0)
		sys_call2(SYS_munmap, memory, ROOM_BYTES);
	if (told)
		return connection;
	if (connection >= 0)
		sys_call1(SYS_close, connection);
	count(1);
	return COUNTED;
}

int ht_unrecorded_exec(const struct follow_plan *plan, char *const argv[])
{
	return tell(plan, argv, BECOMES, (pid_t)sys_call0(SYS_getpid));
}

void ht_unrecorded_failed(int told)
{
	/* A message without a reason. */
	static const uint8_t frame[] = { 3, 0, 0, 0, TAG_LOW, TAG_HIGH, 0 };

	if (told == COUNTED)
		count(-1);
	if (told < 0)
		return;
	ht_link_send_beside(told, (struct iovec){ (void *)(uintptr_t)frame, sizeof(frame) }, -1);
	sys_call1(SYS_close, told);
}

void ht_unrecorded_started(const struct follow_plan *plan, char *const argv[], pid_t pid)
{
	int connection = tell(plan, argv, STARTED, pid);

	if (connection >= 0)
		sys_call1(SYS_close, connection);
}
