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

#include "shim/frame.h"
#include "shim/alloc/page_map.h"
#include "shim/alloc/size_class.h"
#include "shim/alloc/types.h"

/* Slow paths, alloc.c. ht_release_trigger is called with the heap taken and gives it. */
void *ht_take_slow(size_t size_bytes, struct span **ret_span);
void *ht_take_alone(size_t size_bytes, struct span **ret_span);
void *ht_take_grown(struct span *old_span, size_t size_bytes, struct span **ret_span);
void *ht_take_zeroed(size_t size_bytes, struct span **ret_span);
void *ht_take_aligned(size_t alignment, size_t size_bytes, struct span **ret_span);
void ht_release_other(struct span *span, void *block);
void ht_release_trigger(struct span *span);
struct span *ht_block_checked(void *p, const char *what);
void ht_list_broken(struct span *span);

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
static inline struct block_meta *span_meta_if_any(struct span *span, void *block);

/* The same, made when missing (zeroed); only for the thread that just took the block. NULL: no
 * memory for it. */
struct block_meta *ht_span_meta_make(struct span *span);

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

static inline struct block_meta *span_meta(struct span *span, void *block);

/* alloc_fork.c: nothing of the allocator is half done while the process is copied. */
void ht_alloc_fork_prepare(void);
void ht_alloc_fork_parent(void);
void ht_alloc_fork_child(void);

/*
 * The program's own sbrk(increment) (absolute false) or brk(value) (absolute true). Moves the break
 * and from then on the allocator leaves it alone. A break within the allocator's own pages is refused.
 * Returns 0 or -ENOMEM; both breaks are set.
 */
int ht_break_by_program(intptr_t value, bool absolute, uintptr_t *ret_old, uintptr_t *ret_new);

/* Calls `visit` for every span in use. Spans of running threads change meanwhile. */
void ht_alloc_walk(bool (*visit)(struct span *span, void *context), void *context);

/* True when the block (by index) of a small or large span looks live: best effort for spans of
 * other running threads. */
bool ht_block_is_live(const struct span *span, uint32_t index);

#include "shim/record/record.h"

static inline struct block_meta *span_meta_if_any(struct span *span, void *block)
{
	struct block_meta *meta = __atomic_load_n(&span->meta, __ATOMIC_RELAXED);

	if (!meta)
		return NULL;
	return span->class ? &meta[block_index(span, block)] : meta;
}

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

#endif
