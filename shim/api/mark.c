/*
 * A mark is an event of its thread, so it stands where it belongs in the history. What it is called goes in a
 * frame of its own before that: an event carries numbers only.
 */
#include "shim/api/mark.h"

#include <string.h>

#include "proto/wire.h"
#include "shim/common.h"
#include "shim/control.h"
#include "shim/link.h"
#include "shim/record/record.h"
#include "shim/stack/capture.h"
#include "shim/sys.h"

static uint32_t marks;

size_t ht_mark_frame(uint8_t *out, uint32_t number, const char *text, size_t text_bytes)
{
	enum { FRAME_MARK = 20 };
	struct wire_put put = { out + 8, out + MARK_FRAME_BYTES, 0 };
	uint32_t length;
	size_t bytes;

	wire_put_fixed32(&put, 1, number);
	wire_put_bytes(&put, 2, text, text_bytes);
	bytes = (size_t)(put.at - (out + 8));
	length = (uint32_t)bytes + 4;
	memcpy(out, &length, sizeof(length));
	out[4] = (uint8_t)(FRAME_MARK << 3 | WIRE_BYTES | 0x80);
	out[5] = FRAME_MARK >> 4;
	out[6] = (uint8_t)(bytes | 0x80);
	out[7] = (uint8_t)(bytes >> 7);
	return bytes + 8;
}

/* One attempt, as ht_link_send. */
static int try_to_send(uint8_t *frame, size_t bytes)
{
	struct iovec iov = { frame, bytes };
	struct link_hold hold;
	int error;

	ht_link_lock(&hold);
	error = ht_link_send(&iov, 1);
	ht_link_unlock(&hold);
	return error;
}

static void name_mark(uint32_t number, const char *text)
{
	uint8_t frame[MARK_FRAME_BYTES];
	size_t bytes = ht_mark_frame(frame, number, text, strnlen(text, MARK_TEXT_MAX));

	while (try_to_send(frame, bytes) == -EAGAIN && !ht_link.drop_when_full)
		ht_link_wait();
}

HT_EXPORT __attribute__((noinline)) void HT_API(heaptape_mark_here)(const char *text)
{
	uint64_t details[1];

	/* Not from a vfork child, which only borrows our memory. */
	if (!text || !ht_recording() || ht_link.state != LINK_ON || sys_call0(SYS_getpid) != ht_pid)
		return;
	details[0] = __atomic_add_fetch(&marks, 1, __ATOMIC_RELAXED);
	name_mark((uint32_t)details[0], text);
	ht_record_pages_at(EVENT_MARK, 0, details, HT_STACK_HERE());
}
