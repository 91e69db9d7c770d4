/* A connection's bytes: frames are found, decoded, batches checked and walked, as the daemon does. */
#include <stdint.h>
#include <stdlib.h>

#include "daemon/batch.h"
#include "daemon/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint64_t walk(struct batch *batch)
{
	uint64_t sum = 0;

	for (; batch->at < batch->count; batch_skip(batch, 1)) {
		unsigned details = batch_event_details(batch, batch->at);

		sum += batch->ticks[batch->at] ^ batch->addresses[batch->at];
		sum += batch->sizes[batch->at] + batch->stacks[batch->at];
		for (unsigned i = 0; i < details; i++)
			sum += batch->details[batch->details_at + i];
	}
	if (batch->details_at != batch->details_count)
		abort();
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint64_t sum = 0;
	uint32_t payload;

	batch_setup();
	while (frame_look(data, bytes, &payload) == 1) {
		struct slab *slabs = NULL;
		Heaptape__Frame *frame;

		data += WIRE_HEADER_BYTES;
		bytes -= WIRE_HEADER_BYTES;
		if (payload > bytes)
			abort();
		if (frame_decode(data, payload, &slabs, &frame) == 0 &&
		    frame->body_case == HEAPTAPE__FRAME__BODY_BATCH) {
			struct batch batch = { 0 };

			if (batch_from_message(&batch, frame->batch) == 0 &&
			    batch_check(&batch, 60) == 0)
				sum += walk(&batch);
		}
		slab_release(&slabs);
		data += payload;
		bytes -= payload;
	}
	__asm__ volatile("" : : "r"(sum)); /* what was read was wanted */
	return 0;
}
