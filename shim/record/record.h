/*
 * Recording one event: a few stores into the calling thread's buffer in the shared memory of
 * proto/ring.h. No lock, no allocation, no system call, errno untouched; only when the buffer is
 * full does the slow path send it (record.c, batch.c).
 *
 * An event is written into the entry after the last one, between record_begin() and
 * record_close(). In between the buffer is `busy`: the daemon knows that an event is being stamped,
 * and a signal handler that allocates right then sees that it must not touch the buffer; its events
 * go to a buffer of their own, as those of another thread with the same tid.
 *
 * Each thread's `struct recorder` lies on pages that a fork wipes, so a child made behind our back
 * (a raw clone system call) finds no buffer there and never writes into its parent's record.
 */
#ifndef HEAPTAPE_SHIM_RECORD_RECORD_H
#define HEAPTAPE_SHIM_RECORD_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/event.h"
#include "proto/ring.h"
#include "shim/alloc/watch.h"
#include "shim/clock.h"
#include "shim/common.h"
#include "shim/control.h"
#include "shim/frame.h"
#include "shim/ring.h"

/* The compiler would rather share these than inline them everywhere. */
#define RECORD_INLINE inline __attribute__((always_inline))

/*
 * A block's record (struct block_meta) is valid iff the block is live and was recorded. `ticks`: of its
 * birth; 0: not recorded. `site` is size:16 | thread:20 | stack:28, from the top; for a large block the
 * requested size is in its span and the size bits mean nothing.
 */

/* With --guard (shim/misuse/guarded.h) the upper bits of `ticks` say more; nobody else sees them: */
#define META_GUARDED ((uint64_t)1 << 63)     /* live, with a guard behind it */
#define META_UNRECORDED ((uint64_t)1 << 62)  /* and not recorded */
#define META_POISONED ((uint64_t)1 << 61)    /* free, and filled with a pattern */
#define META_QUARANTINED ((uint64_t)1 << 60) /* and not in a free list yet */

static inline uint64_t meta_ticks(uint64_t ticks)
{
	return ticks & (META_QUARANTINED - 1);
}

#define META_STACK_BITS 28
#define META_THREAD_BITS 20
#define META_STACK_MAX ((1u << META_STACK_BITS) - 1)
#define META_THREAD_MAX ((1u << META_THREAD_BITS) - 1)

static inline uint64_t meta_site(size_t size_bytes, uint32_t thread, uint32_t stack)
{
	return (uint64_t)(uint16_t)size_bytes << (META_STACK_BITS + META_THREAD_BITS) |
	       (uint64_t)thread << META_STACK_BITS | stack;
}

static inline size_t meta_size_bytes(uint64_t site)
{
	return site >> (META_STACK_BITS + META_THREAD_BITS);
}

static inline uint32_t meta_thread(uint64_t site)
{
	return (uint32_t)(site >> META_STACK_BITS) & META_THREAD_MAX;
}

static inline uint32_t meta_stack(uint64_t site)
{
	return (uint32_t)site & META_STACK_MAX;
}

/* Page events may come while the page heap's lock is held; this much of a buffer is kept free for
 * them, so that it is sent from malloc or free, where no lock is held. */
#define RECORD_PAGE_EVENTS 32
#define RECORD_EVENT_LIMIT (RING_EVENTS - RECORD_PAGE_EVENTS)
#define RECORD_DETAIL_LIMIT (RING_DETAILS - RECORD_PAGE_EVENTS * 3 - EVENT_MAX_DETAILS)

extern __thread struct recorder *ht_recorder __attribute__((tls_model("initial-exec")));

/* The stack of the malloc (or calloc, ...) that this thread is in, for the page events it causes; 0:
 * none, or not known. */
extern __thread uint32_t ht_page_stack __attribute__((tls_model("initial-exec")));

/* Whether malloc and free may go straight through: the clock is the cycle counter, and nothing is
 * asked of them but to be recorded. */
extern bool ht_quick_malloc HT_HIDDEN, ht_quick_free HT_HIDDEN;

/* Blocks recorded before this belong to the history of the process we were forked from. */
extern uint64_t ht_epoch_ticks HT_HIDDEN;

/* Page events are recorded by ht_watch_pages() (shim/alloc/watch.h); this is one with the call stack of a
 * page call of the program's own. */
void ht_record_pages_at(unsigned kind, uintptr_t address, const uint64_t *details, uint32_t stack);

/* Slow path of record_open(): registers the thread, sends the full buffer. NULL: counted as
 * unrecorded, the caller records nothing. */
struct ring_buffer *ht_record_room(void);

/* The buffer when it can take an event without any slow path: no call, nothing to wait for. */
static RECORD_INLINE struct ring_buffer *record_ready(void)
{
	struct ring_buffer *buffer = ht_recorder->buffer;

	if (unlikely(!buffer || buffer->busy || buffer->count >= RECORD_EVENT_LIMIT ||
		     buffer->details_used > RECORD_DETAIL_LIMIT))
		return NULL;
	return buffer;
}

/* The index of the entry to write. */
static RECORD_INLINE uint32_t record_begin(struct ring_buffer *buffer)
{
	buffer->busy = frame_token();
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return buffer->count;
}

static RECORD_INLINE struct ring_buffer *record_open(void)
{
	struct ring_buffer *buffer = record_ready();

	return likely(buffer != NULL) ? buffer : ht_record_room();
}

/* The time of entry `at`, which is being written; within a thread it always goes up, also where the
 * processors' counters differ or the clock has coarse steps: a block's birth is told apart from the
 * moment at which recording was switched on. last_ticks lies right before ticks[0]. */
static RECORD_INLINE uint64_t record_stamp(struct ring_buffer *buffer, uint32_t at, bool cycles)
{
	const uint64_t *before = buffer->ticks + at - 1;
	uint64_t ticks = cycles ? ht_clock_cycles() : ht_clock_ticks();

	if (unlikely(ticks <= *before))
		ticks = *before + 1;
	buffer->ticks[at] = ticks;
	return ticks;
}

static RECORD_INLINE void record_entry(struct ring_buffer *buffer, uint32_t at, unsigned kind,
				       unsigned class, uintptr_t address, uint32_t size,
				       uint32_t stack)
{
	buffer->kinds[at] = (uint8_t)kind;
	buffer->classes[at] = (uint8_t) class;
	buffer->addresses[at] = address;
	buffer->sizes[at] = size;
	buffer->stacks[at] = stack;
}

/* Publishes the entry that was written, together with its detail words. */
static RECORD_INLINE void record_close(struct ring_buffer *buffer, uint32_t details)
{
	uint64_t fill = buffer->fill + ((uint64_t)details << 32) + 1;

	__atomic_store_n(&buffer->fill, fill, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	buffer->busy = 0;
}

/* A realloc's old block, looked at before anything changes; all zero: there is none. */
struct realloc_old {
	void *block;
	size_t size_bytes;
	size_t usable_bytes;
	struct block_meta meta;
};

/*
 * A block was handed out: malloc, calloc, memalign. Called after the block was taken and before it
 * is returned. class 0: a large block, or a failed request (block and meta NULL).
 */
static RECORD_INLINE void record_alloc_into(struct ring_buffer *buffer, bool cycles, unsigned kind,
					    void *block, size_t size_bytes, unsigned class,
					    size_t usable_bytes, struct block_meta *meta,
					    uint32_t stack)
{
	uint32_t at = record_begin(buffer);
	uint64_t ticks = record_stamp(buffer, at, cycles);

	if (unlikely(class == 0)) {
		uint64_t *words = &buffer->details[buffer->details_used];

		words[0] = size_bytes;
		words[1] = usable_bytes;
	}
	record_entry(buffer, at, kind, class, (uintptr_t)block, class ? (uint32_t)size_bytes : 0,
		     stack);
	if (likely(meta != NULL)) {
		meta->ticks = ticks;
		meta->site = meta_site(size_bytes, buffer->meta_thread, stack);
	}
	record_close(buffer, class ? 0 : 2);
}

/* There is no memory for the block's meta, so its free could not name it: not recorded, but counted.
 * A block that a realloc moved to it is recorded as freed. */
void ht_record_missed(const struct realloc_old *old);

static inline void ht_record_alloc(unsigned kind, void *block, size_t size_bytes, unsigned class,
				   size_t usable_bytes, struct block_meta *meta, uint32_t stack)
{
	struct ring_buffer *buffer;

	if (unlikely(block && !meta)) {
		ht_record_missed(NULL);
		return;
	}
	buffer = record_open();
	if (likely(buffer != NULL))
		record_alloc_into(buffer, false, kind, block, size_bytes, class, usable_bytes, meta,
				  stack);
	else if (meta)
		meta->ticks = 0;
}

/* What a free or realloc says about the old block's birth. */
struct birth {
	uint64_t ticks;
	uint32_t stack;
	uint32_t thread;
};

static inline struct birth meta_birth(uint64_t ticks, uint64_t site)
{
	struct birth birth = { ticks, meta_stack(site), meta_thread(site) };

	if (unlikely(ticks <= ht_epoch_ticks))
		birth = (struct birth){ 0, 0, 0 };
	return birth;
}

/* A block's record is over; what it said. */
static RECORD_INLINE struct birth meta_take(struct block_meta *meta)
{
	struct birth birth = meta_birth(meta->ticks, meta->site);

	meta->ticks = 0;
	return birth;
}

static RECORD_INLINE void record_free_into(struct ring_buffer *buffer, bool cycles, void *block,
					   unsigned class, size_t size_bytes, size_t usable_bytes,
					   struct birth birth, uint32_t free_stack)
{
	uint32_t at = record_begin(buffer);
	uint64_t *words = &buffer->details[buffer->details_used];

	record_stamp(buffer, at, cycles);
	record_entry(buffer, at, EVENT_FREE, class, (uintptr_t)block,
		     class ? (uint32_t)size_bytes : 0, birth.stack);
	words[0] = birth.ticks;
	words[1] = (uint64_t)free_stack << 32 | birth.thread;
	if (unlikely(class == 0)) {
		words[2] = size_bytes;
		words[3] = usable_bytes;
	}
	record_close(buffer, class ? 2 : 4);
}

/*
 * A block is about to be freed; called before anybody can be given it again. size_bytes is used
 * for large blocks and for blocks without a record. Marks the meta as dead. free_stack: the stack
 * that frees it, 0 when that is not wanted.
 */
static inline void ht_record_free(void *block, unsigned class, size_t size_bytes,
				  size_t usable_bytes, struct block_meta *meta, uint32_t free_stack)
{
	struct ring_buffer *buffer;
	struct birth birth = { 0, 0, 0 };

	if (likely(meta && meta->ticks)) {
		if (class)
			size_bytes = meta_size_bytes(meta->site);
		birth = meta_take(meta);
	}
	buffer = record_open();
	if (likely(buffer != NULL))
		record_free_into(buffer, false, block, class, size_bytes, usable_bytes, birth,
				 free_stack);
}

/*
 * A realloc, in place or moving, as one event; called before the old block is released. A failed
 * one has block NULL and class 0, and the old block goes on living: its meta stays.
 * old: NULL for realloc(NULL). old_meta: a copy of the old block's, ticks 0 when there is none.
 * old_size_bytes is used when old_sized is false: the old block is large or was not recorded.
 * meta: the new block's (in place: the same as the old one's, overwritten).
 */
static inline void record_realloc_into(struct ring_buffer *buffer, void *block, size_t size_bytes,
				       unsigned class, size_t usable_bytes, struct block_meta *meta,
				       const struct realloc_old *old, struct birth birth,
				       uint32_t stack)
{
	uint32_t at = record_begin(buffer);
	uint64_t ticks = record_stamp(buffer, at, false);
	uint64_t *words = &buffer->details[buffer->details_used];

	words[0] = (uintptr_t)old->block;
	words[1] = birth.ticks;
	words[2] = (uint64_t)birth.stack << 32 | birth.thread;
	words[3] = old->size_bytes;
	words[4] = old->usable_bytes;
	if (unlikely(class == 0)) {
		words[5] = size_bytes;
		words[6] = usable_bytes;
	}
	record_entry(buffer, at, EVENT_REALLOC, class, (uintptr_t)block,
		     class ? (uint32_t)size_bytes : 0, stack);
	if (meta && block) {
		meta->ticks = ticks;
		meta->site = meta_site(size_bytes, buffer->meta_thread, stack);
	}
	record_close(buffer, class ? 5 : 7);
}

static inline void ht_record_realloc(void *block, size_t size_bytes, unsigned class,
				     size_t usable_bytes, struct block_meta *meta,
				     const struct realloc_old *old, uint32_t stack)
{
	struct birth birth = { 0, 0, 0 };
	struct ring_buffer *buffer;

	if (unlikely(block && !meta)) {
		ht_record_missed(block == old->block ? NULL : old);
		return;
	}
	if (old->meta.ticks)
		birth = meta_birth(old->meta.ticks, old->meta.site);
	buffer = record_open();
	if (likely(buffer != NULL))
		record_realloc_into(buffer, block, size_bytes, class, usable_bytes, meta, old,
				    birth, stack);
	else if (meta && block)
		meta->ticks = 0;
}

#endif
