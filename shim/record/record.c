#include "shim/alloc/block.h"
#include "shim/link.h"
#include "shim/record/batch.h"
#include "shim/record/record.h"
#include "shim/record/resume.h"
#include "shim/record/thread.h"
#include "shim/ring.h"
#include "shim/stack/stack_table.h"

_Static_assert(META_STACK_BITS == NODE_NUMBER_BITS, "a stack is kept beside its blocks");

/* Signal handlers that interrupt the recording of one another's events. */
#define RECORD_NESTING 4

bool ht_quick_malloc = true, ht_quick_free = true;
__thread uint32_t ht_page_stack;

static bool has_room(const struct ring_buffer *buffer, uint32_t events, uint32_t details)
{
	return buffer->count < events && buffer->details_used <= details;
}

/* The recorder whose buffer may be written now: the thread's own, or that of its signal handlers. */
static struct recorder *free_recorder(struct recorder *recorder)
{
	for (unsigned depth = 0; recorder && depth < RECORD_NESTING; depth++) {
		if (!recorder->buffer->busy || recorder->buffer->busy == RING_PARKED) {
			recorder->buffer->busy = 0;
			return recorder;
		}
		if (ht_frame_was_left(recorder->buffer->busy)) {
			recorder->buffer->busy = 0;
			return recorder;
		}
		if (!recorder->nested)
			recorder->nested = ht_thread_nested();
		recorder = recorder->nested;
	}
	return NULL;
}

/* The recorder to write with, which may have to begin. NULL: nothing is to be recorded, or it was
 * counted. */
static struct recorder *find_recorder(void)
{
	struct recorder *recorder = ht_recorder;

	/* For this thread recording is not on yet. */
	if (unlikely(ht_resume_due()) && !ht_resume_inside())
		return NULL;
	if (!recorder->buffer && recorder->hidden) {
		recorder->buffer = recorder->hidden;
		recorder->hidden = NULL;
	}
	if (!recorder->buffer) {
		if (!ht_ring_is_begun())
			return NULL;
		recorder = ht_thread_begin();
	}
	recorder = recorder ? free_recorder(recorder) : NULL;
	if (!recorder && ht_link.state != LINK_OFF)
		ht_loss_add(LOSS_UNRECORDED, 1);
	return recorder;
}

/* Signal handlers may come while the buffer is sent: they may fill it again, or fork, and then this
 * thread has another one. */
static struct ring_buffer *make_room(uint32_t events, uint32_t details)
{
	struct recorder *recorder;

	while ((recorder = find_recorder())) {
		if (has_room(recorder->buffer, events, details))
			return recorder->buffer;
		if (ht_link.state != LINK_ON) {
			if (ht_link.state != LINK_OFF)
				ht_loss_add(LOSS_UNRECORDED, 1);
			return NULL;
		}
		ht_thread_name(recorder->buffer);
		ht_batch_send(recorder);
	}
	return NULL;
}

struct ring_buffer *ht_record_room(void)
{
	return make_room(RECORD_EVENT_LIMIT, RECORD_DETAIL_LIMIT);
}

void ht_record_missed(const struct realloc_old *old)
{
	struct birth birth = { 0, 0, 0 };
	struct ring_buffer *buffer;

	ht_loss_add(LOSS_UNRECORDED, 1);
	if (!old || !old->block)
		return;
	if (old->meta.ticks)
		birth = meta_birth(old->meta.ticks, old->meta.site);
	buffer = record_open();
	if (buffer)
		record_free_into(buffer, false, old->block, 0, old->size_bytes, old->usable_bytes,
				 birth, 0);
}

static void pages_into(struct ring_buffer *buffer, unsigned kind, uintptr_t address,
		       const uint64_t *details, uint32_t stack)
{
	uint32_t at = record_begin(buffer);
	uint32_t words = (uint32_t)event_details((uint8_t)kind, 0);

	record_stamp(buffer, at, false);
	record_entry(buffer, at, kind, 0, address, 0, stack);
	for (uint32_t i = 0; i < words; i++)
		buffer->details[buffer->details_used + i] = details[i];
	record_close(buffer, words);
}

/* Uses the part of the buffer that is kept for page events before it sends anything. */
static struct ring_buffer *open_reserve(void)
{
	struct ring_buffer *buffer = ht_recorder->buffer;

	if (buffer && !buffer->busy &&
	    has_room(buffer, RING_EVENTS, RING_DETAILS - EVENT_MAX_DETAILS))
		return buffer;
	return make_room(RING_EVENTS, RING_DETAILS - EVENT_MAX_DETAILS);
}

void ht_watch_pages(unsigned kind, uintptr_t address, const uint64_t *details)
{
	bool early = unlikely(ht_resume_due()) && !ht_resume_inside();
	struct ring_buffer *buffer;

	if (!ht_recording() || (early && !ht_resume_pages_begin()))
		return;
	buffer = open_reserve();
	if (buffer)
		pages_into(buffer, kind, address, details, ht_page_stack);
	if (early)
		ht_resume_pages_end();
}

void ht_record_pages_at(unsigned kind, uintptr_t address, const uint64_t *details, uint32_t stack)
{
	RESUME_HOLD();
	struct ring_buffer *buffer = record_open();

	if (buffer)
		pages_into(buffer, kind, address, details, stack);
}

void ht_watch_lost(struct span *span, void *block)
{
	struct block_meta *meta = span_meta_if_any(span, block);
	unsigned class = span_class(span);

	if (meta) /* what --guard keeps there */
		meta->ticks = meta->ticks & META_UNRECORDED ? 0 : meta_ticks(meta->ticks);
	if (ht_recording())
		ht_record_free(block, class, class ? span->block_bytes : span->requested_bytes,
			       span->block_bytes, meta, 0);
}
