#include "shim/batch.h"
#include "shim/link.h"
#include "shim/record.h"
#include "shim/ring.h"
#include "shim/thread.h"

/* Until the constructor has looked at the environment, everything is recorded: into the bootstrap
 * buffer, which is forgotten when there is nobody to send it to. */
static const uint32_t record_from_the_start = RING_CONTROL_RECORD;

const uint32_t *ht_control = &record_from_the_start;
uint64_t ht_epoch_ticks;

static bool has_room(const struct ring_buffer *buffer, uint32_t events, uint32_t details)
{
	return buffer->count < events && buffer->details_used <= details;
}

static struct ring_buffer *unrecorded(void)
{
	ht_loss_add(LOSS_UNRECORDED, 1);
	return NULL;
}

static struct ring_buffer *make_room(uint32_t events, uint32_t details)
{
	struct recorder *recorder = ht_recorder;

	if (!recorder->buffer) {
		if (ht_ring.alive && !*ht_ring.alive) {
			/* A child that a raw system call forked: it is not ours to record. */
			ht_link_off(NULL, 0);
			return NULL;
		}
		recorder = ht_thread_begin();
		if (!recorder)
			return ht_link.state == LINK_OFF ? NULL : unrecorded();
	}
	if (recorder->buffer->busy)
		return unrecorded();
	if (has_room(recorder->buffer, events, details))
		return recorder->buffer;
	if (ht_link.state == LINK_ON)
		ht_batch_send(recorder);
	if (has_room(recorder->buffer, events, details))
		return recorder->buffer;
	return ht_link.state == LINK_OFF ? NULL : unrecorded();
}

struct ring_buffer *ht_record_room(void)
{
	return make_room(RECORD_EVENT_LIMIT, RECORD_DETAIL_LIMIT);
}

/* The buffer is open. */
static void append_pages(struct ring_buffer *buffer, unsigned kind, uintptr_t address,
			 const uint64_t *details, uint32_t stack)
{
	uint32_t at = buffer->count, used = buffer->details_used;
	int words = event_details((uint8_t)kind, 0);

	record_stamp(buffer, at, false);
	record_entry(buffer, at, kind, 0, address, 0, stack);
	for (int i = 0; i < words; i++)
		buffer->details[used + (uint32_t)i] = details[i];
	record_close(buffer, (uint32_t)words);
}

/* Uses the part of the buffer that is kept for page events before it sends anything. */
static struct ring_buffer *open_reserve(void)
{
	struct ring_buffer *buffer = ht_recorder->buffer;

	if (!buffer || buffer->busy ||
	    !has_room(buffer, RING_EVENTS, RING_DETAILS - EVENT_MAX_DETAILS))
		buffer = make_room(RING_EVENTS, RING_DETAILS - EVENT_MAX_DETAILS);
	if (buffer)
		buffer->busy = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return buffer;
}

void ht_record_pages(unsigned kind, uintptr_t address, const uint64_t *details)
{
	struct ring_buffer *buffer;

	if (!ht_recording())
		return;
	buffer = open_reserve();
	if (buffer)
		append_pages(buffer, kind, address, details, 0);
}

void ht_record_pages_at(unsigned kind, uintptr_t address, const uint64_t *details, uint32_t stack)
{
	struct ring_buffer *buffer = record_open();

	if (buffer)
		append_pages(buffer, kind, address, details, stack);
}
