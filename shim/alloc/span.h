/*
 * Spans: a small span's blocks and lists, a large block's span, the records beside blocks.
 */
#ifndef HEAPTAPE_SHIM_ALLOC_SPAN_H
#define HEAPTAPE_SHIM_ALLOC_SPAN_H

#include "shim/alloc/block.h"
#include "shim/alloc/huge.h"
#include "shim/alloc/page_heap.h"
#include "shim/alloc/types.h"

static inline uint64_t remote_load(const struct span *span)
{
	return __atomic_load_n(&span->remote, __ATOMIC_ACQUIRE);
}

static inline uint32_t remote_count(uint64_t word)
{
	return (uint32_t)(word >> REMOTE_COUNT_SHIFT);
}

static inline struct free_block *remote_first(uint64_t word)
{
	return (struct free_block *)(uintptr_t)(word & REMOTE_ADDRESS);
}

/* Pages of the next span of a class in a heap that has `spans` of them: few at first. */
size_t ht_span_pages(unsigned class, uint32_t spans);

/* A span of a class without an owner, adopted from a thread that ended or new; NULL: no memory, or the
 * page heap is closed. */
struct span *ht_span_small(unsigned class, size_t pages, bool may_grow);

/* A span for one large block; NULL: no memory. `grows`: the span of a block that is to be moved to it
 * and will probably grow further, or NULL. */
struct span *ht_span_large(size_t size_bytes, size_t align_pages, const struct span *grows);
bool ht_span_large_resize(struct span *span, size_t size_bytes);

/* Gives back the pages that it does not need any more. */
void ht_span_large_trim(struct span *span);

/* ht_span_meta_make (shim/alloc/alloc.h), locked; for any thread. */
struct block_meta *ht_span_meta_make_locked(struct span *span);

/* Gives back an empty span, which is in no list; while the page heap is closed, later. */
void ht_span_give(struct span *span);
void ht_span_small_give_locked(struct span *span, bool keep_husk);

/* Puts untouched blocks on the free list; false: there are none left. */
bool ht_span_carve(struct span *span);

/* Owner: takes in the remote list of a span that is not frozen. True: there was something. */
bool ht_span_collect(struct span *span);

/* Owner, or locked and without one. freeze: nobody will allocate from it; false: it was not
 * frozen, there are remote frees to collect. thaw: undoes it and collects; false: it is a husk or
 * about to become one. */
bool ht_span_freeze(struct span *span);
bool ht_span_thaw(struct span *span);

/* Any other thread: pushes a block on the remote list, gives the span back if it was the last. */
void ht_span_push(struct span *span, void *block);

#endif
