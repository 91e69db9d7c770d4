#include <string.h>

#include "proto/wire.h"
#include "shim/link.h"
#include "shim/record/batch.h"
#include "shim/record/process_end.h"
#include "shim/record/thread.h"
#include "shim/ring.h"
#include "shim/sys.h"

/* Field numbers of proto/event.proto. */
enum { FRAME_PROCESS_END = 8 };
enum { END_TICKS = 1, END_HOW, END_CODE, END_LOSSES };
enum { LOSSES_FIELDS = 6, LOSSES_CUT_REASONS = 7 };

size_t ht_process_end_frame(uint8_t *out, const struct ring_head *head, enum process_end how,
			    int code)
{
	uint8_t losses[160];
	struct wire_put inner = { losses, losses + sizeof(losses), 0 };
	struct wire_put put = { out + 7, out + PROCESS_END_FRAME_BYTES, 0 };
	uint32_t length;
	size_t bytes;

	for (unsigned i = 0; i < LOSSES_FIELDS; i++)
		wire_put_fixed64(&inner, i + 1, head->lost[i]);
	wire_put_bytes(&inner, LOSSES_CUT_REASONS, head->cut_reasons, sizeof(head->cut_reasons));
	wire_put_fixed64(&put, END_TICKS, ht_clock_ticks());
	wire_put_uint(&put, END_HOW, how);
	wire_put_sint(&put, END_CODE, code);
	wire_put_bytes(&put, END_LOSSES, losses, (size_t)(inner.at - losses));
	bytes = (size_t)(put.at - (out + 7));
	length = (uint32_t)bytes + 3;
	memcpy(out, &length, sizeof(length));
	out[4] = FRAME_PROCESS_END << 3 | WIRE_BYTES;
	out[5] = (uint8_t)(bytes | 0x80);
	out[6] = (uint8_t)(bytes >> 7);
	return bytes + 7;
}

void ht_process_end_send(enum process_end how, int code)
{
	uint8_t frame[PROCESS_END_FRAME_BYTES];
	struct iovec iov = { frame, ht_process_end_frame(frame, ht_ring.head, how, code) };
	struct link_hold hold;

	ht_threads_send_all();
	ht_link_lock(&hold);
	ht_link_send(&iov, 1);
	ht_link_unlock(&hold);
}
