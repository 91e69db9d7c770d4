#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>

#include "proto/image.h"
#include "proto/wire.h"
#include "shim/alloc/page_heap.h"
#include "shim/alloc/size_class.h"
#include "shim/clock.h"
#include "shim/control.h"
#include "shim/libc.h"
#include "shim/record/hello.h"
#include "shim/settings.h"
#include "shim/sys.h"

/* Field numbers of proto/event.proto. */
enum { FRAME_HELLO = 1 };
enum {
	HELLO_WIRE_VERSION = 1,
	HELLO_SHIM_VERSION,
	HELLO_PID,
	HELLO_PARENT_PID,
	HELLO_RUN_TOKEN,
	HELLO_EXECUTABLE,
	HELLO_COMMAND,
	HELLO_CLOCK,
	HELLO_TICKS,
	HELLO_MONOTONIC_NS,
	HELLO_REALTIME_NS,
	HELLO_PAGE_BYTES,
	HELLO_SIZE_CLASSES,
	HELLO_STACKS,
	HELLO_DROP_WHEN_FULL,
	HELLO_FORKED,
	HELLO_SETTINGS,
	HELLO_HELD_BYTES,
	HELLO_FOREIGN_SYMBOLS,
	HELLO_FOREIGN_PATH,
	HELLO_OBSTACLE,
	HELLO_UNRECORDED
};

/* Room for a Frame head with a length of up to 2 MiB, as a varint of exactly three bytes. */
#define LENGTH_BYTES 4
#define HEAD_BYTES (LENGTH_BYTES + 4)
#define COMMAND_MAX_BYTES (32u << 10)

char **ht_hello_argv;
struct foreign ht_foreign;

static void put_text(struct wire_put *put, unsigned field, const char *text)
{
	wire_put_bytes(put, field, text, strlen(text));
}

static void put_executable(struct wire_put *put)
{
	static char path[4096];
	long bytes = sys_call4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof(path));

	const char *called = (const char *)ht_libc()->getauxval(AT_EXECFN);

	if (bytes > 0)
		wire_put_bytes(put, HELLO_EXECUTABLE, path, (size_t)bytes);
	else if (called) /* no /proc */
		put_text(put, HELLO_EXECUTABLE, called);
}

/* argv as the kernel knows it: the strings lie one after another, each with its zero byte. */
static void put_command(struct wire_put *put)
{
	static const char path[] = "/proc/self/cmdline";
	static char text[COMMAND_MAX_BYTES + 1];
	long fd = sys_call4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	size_t used = 0;
	long bytes;

	if (fd < 0) { /* no /proc, or no descriptor left */
		for (char **word = ht_hello_argv; word && *word && used < COMMAND_MAX_BYTES;) {
			used += strlen(*word);
			if (used < COMMAND_MAX_BYTES)
				put_text(put, HELLO_COMMAND, *word++);
		}
		return;
	}
	while (used < COMMAND_MAX_BYTES &&
	       (bytes = sys_call3(SYS_read, fd, text + used, COMMAND_MAX_BYTES - used)) > 0)
		used += (size_t)bytes;
	sys_call1(SYS_close, fd);
	text[used] = 0;
	for (const char *word = text; word < text + used; word += strlen(word) + 1)
		put_text(put, HELLO_COMMAND, word);
}

static void put_clock(struct wire_put *put)
{
	uint64_t monotonic_ns = ht_clock_ns(CLOCK_MONOTONIC);
	uint64_t ticks = ht_clock_is_cycles ? ht_clock_ticks() : monotonic_ns;

	wire_put_uint(put, HELLO_CLOCK, ht_clock_is_cycles);
	wire_put_fixed64(put, HELLO_TICKS, ticks);
	wire_put_fixed64(put, HELLO_MONOTONIC_NS, monotonic_ns);
	wire_put_fixed64(put, HELLO_REALTIME_NS, ht_clock_ns(CLOCK_REALTIME));
}

static void put_size_classes(struct wire_put *put)
{
	wire_put_head(put, HELLO_SIZE_CLASSES, CLASS_COUNT * sizeof(uint32_t));
	for (unsigned class = 1; class <= CLASS_COUNT; ++class) {
		uint32_t bytes = (uint32_t)size_class_bytes(class);

		wire_put_raw(put, &bytes, sizeof(bytes));
	}
}

size_t ht_hello_frame(uint8_t *out, bool forked, const char *obstacle)
{
	struct wire_put put = { out + HEAD_BYTES, out + HELLO_MAX_BYTES, 0 };
	size_t bytes;
	uint32_t length;

	wire_put_uint(&put, HELLO_WIRE_VERSION, WIRE_VERSION);
	put_text(&put, HELLO_SHIM_VERSION, HEAPTAPE_VERSION);
	wire_put_fixed32(&put, HELLO_PID, (uint32_t)sys_call0(SYS_getpid));
	/* Who forked may have ended meanwhile, or call itself otherwise in another PID namespace. */
	wire_put_fixed32(&put, HELLO_PARENT_PID,
			 forked ? (uint32_t)ht_pid : (uint32_t)sys_call0(SYS_getppid));
	wire_put_fixed64(&put, HELLO_RUN_TOKEN, ht_settings.run_token);
	put_clock(&put);
	wire_put_uint(&put, HELLO_PAGE_BYTES, PAGE_BYTES);
	put_size_classes(&put);
	wire_put_uint(&put, HELLO_STACKS, ht_settings.stacks);
	wire_put_uint(&put, HELLO_DROP_WHEN_FULL, ht_settings.drop_when_full);
	wire_put_uint(&put, HELLO_FORKED, forked);
	if (forked)
		wire_put_fixed64(&put, HELLO_HELD_BYTES, ht_page_heap_bytes());
	if (ht_foreign.names) {
		wire_put_uint(&put, HELLO_FOREIGN_SYMBOLS, ht_foreign.names);
		put_text(&put, HELLO_FOREIGN_PATH, ht_foreign.path);
	}
	if (obstacle)
		put_text(&put, HELLO_OBSTACLE, obstacle);
	if (ht_replaced)
		wire_put_uint(&put, HELLO_UNRECORDED, IMAGE_REPLACED);
	for (unsigned i = 0; i < ht_settings.line_count; i++)
		put_text(&put, HELLO_SETTINGS, ht_settings.lines[i]);
	put_executable(&put);
	put_command(&put);

	bytes = (size_t)(put.at - (out + HEAD_BYTES));
	length = (uint32_t)bytes + HEAD_BYTES - LENGTH_BYTES;
	memcpy(out, &length, sizeof(length));
	out[4] = FRAME_HELLO << 3 | WIRE_BYTES;
	out[5] = (uint8_t)(bytes | 0x80);
	out[6] = (uint8_t)(bytes >> 7 | 0x80);
	out[7] = (uint8_t)(bytes >> 14);
	return HEAD_BYTES + bytes;
}
