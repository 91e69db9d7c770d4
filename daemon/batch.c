#include "daemon/batch.h"

#include <errno.h>
#include <string.h>

uint8_t batch_details[2][256];

void batch_setup(void)
{
	for (unsigned kind = 0; kind < 256; kind++) {
		int small = event_details((uint8_t)kind, 1);
		int large = event_details((uint8_t)kind, 0);

		batch_details[0][kind] = small < 0 ? BATCH_NO_KIND : (uint8_t)small;
		batch_details[1][kind] = large < 0 ? BATCH_NO_KIND : (uint8_t)large;
	}
}

int batch_from_message(struct batch *batch, const Heaptape__EventBatch *message)
{
	static const uint64_t no_details[1]; /* where the message has a null pointer */
	size_t count = message->count;

	if (count == 0 || message->thread == 0 || message->kinds.len != count ||
	    message->classes.len != count || message->n_ticks != count ||
	    message->n_addresses != count || message->n_sizes != count ||
	    message->n_stacks != count || message->first_seq >= BATCH_MAX_SEQ)
		return -EPROTO;
	*batch = (struct batch){
		.kinds = message->kinds.data,
		.classes = message->classes.data,
		.ticks = message->ticks,
		.addresses = message->addresses,
		.sizes = message->sizes,
		.stacks = message->stacks,
		.details = message->n_details ? message->details : no_details,
		.first_seq = message->first_seq,
		.thread = message->thread,
		.count = (uint32_t)count,
		.details_count = (uint32_t)message->n_details,
	};
	return 0;
}

int batch_check(const struct batch *batch, unsigned class_count)
{
	uint64_t words = 0;
	unsigned highest = 0;

	for (uint32_t i = 0; i < batch->count; i++) {
		unsigned n = batch_event_details(batch, i);

		if (n == BATCH_NO_KIND)
			return -EPROTO;
		words += n;
		highest = batch->classes[i] > highest ? batch->classes[i] : highest;
	}
	return words == batch->details_count && highest <= class_count ? 0 : -EPROTO;
}

void batch_skip(struct batch *batch, uint32_t events)
{
	uint32_t end = events > batch->count - batch->at ? batch->count : batch->at + events;

	for (; batch->at < end; batch->at++)
		batch->details_at += batch_event_details(batch, batch->at);
}
