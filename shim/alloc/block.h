/* A block: its mark, its place in its span, the record beside it, and how a heap is taken. */
#ifndef HEAPTAPE_SHIM_ALLOC_BLOCK_H
#define HEAPTAPE_SHIM_ALLOC_BLOCK_H

#include "shim/alloc/types.h"
#include "shim/frame.h"

/* What a free block's second word holds. */
static inline uintptr_t block_mark(const void *block)
{
	return (uintptr_t)block ^ (uintptr_t)0xd1b54a32d192ed03ull;
}

/* True when the block is marked as free. */
static inline bool block_is_marked(const void *p)
{
	return ((const struct free_block *)p)->mark == block_mark(p);
}

/*
 * True when p is the start of a block of the span. One multiplication: the offset is a multiple of
 * block_bytes iff offset * reciprocal wraps to less than reciprocal. A large block's reciprocal is 1
 * (only offset 0 passes), a free run's 0 (nothing does).
 */
static inline bool block_is_start(const struct span *span, const void *p)
{
	uintptr_t offset = (uintptr_t)p - span->start;

	return offset * span->reciprocal < span->reciprocal;
}

static inline bool block_looks_live(const struct span *span, const void *p)
{
	return block_is_start(span, p) && !block_is_marked(p);
}

/*
 * Whether free looks at the block's mark before it takes the block back. Waiting for a block that is
 * in no cache costs more than the rest of free, so once the heap is large only the block freed last
 * is compared, and malloc notices the second free when it comes across the block again.
 */
extern bool ht_look_at_marks HT_HIDDEN;

/* Index of the block that contains the address; the span is small. */
static inline uint32_t block_index(const struct span *span, const void *p)
{
	return (uint32_t)((unsigned __int128)((uintptr_t)p - span->start) * span->reciprocal >> 64);
}

/* Usable bytes of a block; the class is 0 for a large one. */
static inline size_t span_usable(const struct span *span)
{
	return span->block_bytes;
}

static inline unsigned span_class(const struct span *span)
{
	return span->class;
}

/* The record beside a block, NULL when there is none (nothing in the span was ever recorded). */
static inline struct block_meta *span_meta_if_any(struct span *span, void *block)
{
	struct block_meta *meta = __atomic_load_n(&span->meta, __ATOMIC_RELAXED);

	if (!meta)
		return NULL;
	return span->class ? &meta[block_index(span, block)] : meta;
}

/* The same, made when missing (zeroed); only for the thread that just took the block. NULL: no
 * memory for it. */
struct block_meta *ht_span_meta_make(struct span *span);

static inline struct block_meta *span_meta(struct span *span, void *block)
{
	struct block_meta *meta = __atomic_load_n(&span->meta, __ATOMIC_RELAXED);

	if (unlikely(!meta)) {
		meta = ht_span_meta_make(span);
		if (!meta)
			return NULL;
	}
	return span->class ? &meta[block_index(span, block)] : meta;
}

/*
 * Whatever changes a heap stands between these two, the shortest free list too: a signal handler may
 * come after any instruction, and sees it by this. heap_take() only when the heap is not taken; a
 * handler that comes before it has happened leaves all as it was.
 */
static inline __attribute__((always_inline)) void heap_take(struct heap *heap)
{
	frame_store(&heap->taken);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline __attribute__((always_inline)) void heap_give(struct heap *heap)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	heap->taken = 0;
}

#endif
