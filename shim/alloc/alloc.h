/*
 * Taking and releasing blocks. The exported names (api.c) and their recorded twins (traced.c) are
 * made of these:
 *
 *   malloc    p = block_take(size, &span)
 *   calloc    p = block_take_zeroed(size, &span)
 *   memalign  p = block_take_aligned(alignment, size, &span)
 *   free      span = block_to_free(p); if (span) block_release(span, p)
 *   realloc   span = block_to_realloc(old); block_resize(span, old, size), block_trim(span), or
 *             p = block_take_moved(span, size, &new_span); block_copy(...); block_release(span, old)
 *
 * No function here sets errno; a request that cannot be met returns NULL. None of them calls
 * anything but the C library's memory copying, and the recorder for page events.
 */
#ifndef HEAPTAPE_SHIM_ALLOC_ALLOC_H
#define HEAPTAPE_SHIM_ALLOC_ALLOC_H

#include "shim/alloc/block.h"
#include "shim/alloc/page_map.h"
#include "shim/alloc/size_class.h"
#include "shim/alloc/watch.h"

/* Slow paths, alloc.c. ht_release_trigger is called with the heap taken and gives it. */
void *ht_take_slow(size_t size_bytes, struct span **ret_span);
void *ht_take_alone(size_t size_bytes, struct span **ret_span);
void *ht_take_grown(struct span *old_span, size_t size_bytes, struct span **ret_span);
void *ht_take_zeroed(size_t size_bytes, struct span **ret_span);
void *ht_take_aligned(size_t alignment, size_t size_bytes, struct span **ret_span);
void ht_release_other(struct span *span, void *block);
void ht_release_trigger(struct span *span);

/* We are a handler that interrupted such work, or it was left by a jump. */
static inline bool heap_is_interrupted(void)
{
	return ht_heap->taken && ht_heap != &ht_heap_none;
}

/* The thread's, or the one that nobody has. */
static inline __attribute__((returns_nonnull)) struct heap *heap_here(void)
{
	return ht_heap;
}

/* Where the heap names the span that malloc takes so many bytes from; NULL: it is not a small block. */
static inline struct span *const *heap_place(const struct heap *heap, size_t size_bytes)
{
	if (likely(size_bytes <= DIRECT_MAX_BYTES))
		return &heap->direct[(size_bytes + BLOCK_ALIGN - 1) / BLOCK_ALIGN];
	if (likely(size_bytes <= SMALL_MAX_BYTES))
		return &heap->current[size_class_of(size_bytes)];
	return NULL;
}

/* Takes the first block off the span's list. Should a handler jump out of it, `used` is one too high
 * but never too low. */
static inline void span_pop(struct span *span, struct free_block *block)
{
	span->used++;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	span->free = block->next;
	block->mark = 0;
}

/* The first block of its span's list; NULL, and nothing was changed: it takes more than that. */
static inline __attribute__((always_inline)) void *block_take_first(size_t size_bytes,
								    struct span **ret_span)
{
	struct heap *heap = heap_here();
	struct span *const *place = heap_place(heap, size_bytes);
	struct free_block *block;
	struct span *span;

	if (unlikely(!place || heap->taken))
		return NULL;
	heap_take(heap);
	span = *place;
	block = span->free;
	if (unlikely(!block || !block_is_marked(block))) {
		heap_give(heap);
		return NULL;
	}
	span_pop(span, block);
	heap_give(heap);
	*ret_span = span;
	return block;
}

/* A block of at least size_bytes bytes, NULL when there is no memory or size_bytes is more than
 * PTRDIFF_MAX. *ret_span is its span; untouched on failure. */
static inline void *block_take(size_t size_bytes, struct span **ret_span)
{
	void *block = block_take_first(size_bytes, ret_span);

	return likely(block != NULL) ? block : ht_take_slow(size_bytes, ret_span);
}

/* The same for the contents of a block of old_span. */
static inline void *block_take_moved(struct span *old_span, size_t size_bytes,
				     struct span **ret_span)
{
	if (unlikely(!old_span->class && size_bytes > old_span->block_bytes))
		return ht_take_grown(old_span, size_bytes, ret_span);
	return block_take(size_bytes, ret_span);
}

/* The same; the block's size_bytes bytes read as zero. */
static inline void *block_take_zeroed(size_t size_bytes, struct span **ret_span)
{
	return ht_take_zeroed(size_bytes, ret_span);
}

/* A block of whole pages, which brings the place for its record along and reads as zero: for callers
 * that the page heap is closed to. NULL: no memory. */
static inline void *block_take_alone(size_t size_bytes, struct span **ret_span)
{
	return ht_take_alone(size_bytes, ret_span);
}

/* The same at a multiple of alignment, a power of two. */
static inline void *block_take_aligned(size_t alignment, size_t size_bytes, struct span **ret_span)
{
	return ht_take_aligned(alignment, size_bytes, ret_span);
}

/* The span of a block the program hands back. NULL: p is NULL, or another allocator's and was freed
 * there, or it is misuse, which has been reported (and HEAPTAPE_ON_ERROR=continue is set, or this
 * would not have returned). */
static inline struct span *block_to_free(void *p)
{
	struct span *span = span_of(p);

	if (likely(span && block_looks_live(span, p)))
		return span;
	return ht_block_checked(p, "free");
}

/* The same for realloc; a block of another allocator is left alone: see foreign.h. */
static inline struct span *block_to_realloc(void *p)
{
	struct span *span = span_of(p);

	if (likely(span && block_looks_live(span, p)))
		return span;
	return ht_block_checked(p, "realloc");
}

/* The span may be changed here and now: it is of the calling thread's heap, and that is not taken.
 * Others may take the span over meanwhile, but never to or from the calling thread. */
static inline bool span_is_own(const struct span *span)
{
	const struct heap *heap = ht_heap;

	return __atomic_load_n(&span->owner, __ATOMIC_RELAXED) == heap && !heap->taken;
}

/* Puts a live block of a small span back; the heap is the span's owner, and span_is_own(). */
static inline void block_release_own(struct heap *heap, struct span *span, void *p)
{
	struct free_block *block = p;

	heap_take(heap);
	block->next = span->free;
	block->mark = block_mark(p);
	span->free = block;
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* as in span_pop() */
	if (unlikely(--span->used == span->trigger))
		ht_release_trigger(span);
	else
		heap_give(heap);
}

/* Gives back a block that block_to_free() approved, whoever owns it, small or large. Its meta must
 * be cleared already. */
static inline void block_release(struct span *span, void *p)
{
	if (likely(span_is_own(span)))
		block_release_own(span->owner, span, p);
	else
		ht_release_other(span, p);
}

/* Makes the block fit size_bytes where it is, growing or shrinking. False: it must move, nothing
 * was changed. Sets a large block's requested size. */
bool block_resize(struct span *span, void *p, size_t size_bytes);

/* Afterwards, once it is recorded: gives back the pages that a block does not need any more. Whoever
 * gets them is later in the record. */
void block_trim(struct span *span);

/* Copies the first `bytes` bytes of one block to another. Large blocks may have their pages moved
 * instead: the old contents are gone afterwards, the old block is still to be released. */
void block_copy(struct span *to_span, void *to, struct span *from_span, void *from, size_t bytes);

/* alloc_fork.c: nothing of the allocator is half done while the process is copied. */
void ht_alloc_fork_prepare(void);
void ht_alloc_fork_parent(void);
void ht_alloc_fork_child(void);

/* Calls `visit` for every span in use. Spans of running threads change meanwhile. */
void ht_alloc_walk(bool (*visit)(struct span *span, void *context), void *context);

/* True when the block (by index) of a small or large span looks live: best effort for spans of
 * other running threads. */
bool ht_block_is_live(const struct span *span, uint32_t index);

#endif
