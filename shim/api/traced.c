#include <errno.h>

#include "shim/alloc/alloc.h"
#include "shim/api/traced.h"
#include "shim/misuse/foreign.h"
#include "shim/misuse/guarded.h"
#include "shim/record/freed.h"
#include "shim/record/record.h"
#include "shim/record/resume.h"
#include "shim/stack/capture.h"

#define RECORDED __attribute__((noinline))

/*
 * What malloc and its family do in this file beyond their fast paths stands between these two: page
 * events that the allocator records meanwhile carry the stack of the call that needed the pages.
 */
static inline uint32_t pages_for(uint32_t stack)
{
	ht_page_stack = stack;
	return stack;
}

static inline void *pages_done(void *block)
{
	ht_page_stack = 0;
	return block;
}

/* A request that could not be met is an event too: what the program asked for, address 0. */
static __attribute__((noinline, cold)) void *failed(unsigned kind, size_t size_bytes,
						    uint32_t stack)
{
	ht_record_alloc(kind, NULL, size_bytes, 0, 0, NULL, stack);
	errno = ENOMEM;
	return pages_done(NULL);
}

/* A block whose birth there is no memory to note is not handed out: whatever a program was given is
 * in its record. NULL: there is no other. */
static inline void *noted(void *block, size_t size_bytes, struct span **span)
{
	if (likely(!block || span_meta(*span, block)))
		return block;
	block_release(*span, block);
	return block_take_alone(size_bytes, span);
}

static inline void *record_taken(unsigned kind, void *block, size_t size_bytes, struct span *span,
				 uint32_t stack)
{
	ht_record_alloc(kind, block, size_bytes, span_class(span), span_usable(span),
			span_meta(span, block), stack);
	return pages_done(block);
}

/* The same with a guard behind the block. */
static __attribute__((noinline, cold)) void *guarded(unsigned kind, size_t alignment,
						     size_t size_bytes, uint32_t stack)
{
	void *block = ht_guarded_take(kind, alignment, size_bytes, stack);

	if (!block && ht_recording())
		return failed(kind, size_bytes, stack);
	if (!block)
		errno = ENOMEM;
	return pages_done(block);
}

/* Everything that malloc's fast path below does not do. */
static __attribute__((noinline)) void *malloc_slow(size_t size_bytes, uint32_t stack)
{
	RESUME_HOLD();
	struct span *span;
	void *block;

	pages_for(stack);
	if (unlikely(ht_guard_on))
		return guarded(EVENT_MALLOC, 0, size_bytes, stack);
	block = noted(block_take(size_bytes, &span), size_bytes, &span);
	if (unlikely(!block))
		return failed(EVENT_MALLOC, size_bytes, stack);
	return record_taken(EVENT_MALLOC, block, size_bytes, span, stack);
}

/*
 * Straight through, without a call: a block from the head of its span's list, a record beside it, an
 * entry in the buffer. All is looked at before anything is changed, so the slow path starts afresh.
 */
static inline __attribute__((always_inline)) void *malloc_here(size_t size_bytes, uint32_t stack)
{
	struct ring_buffer *buffer = record_ready();
	struct heap *heap = ht_heap;
	struct span *const *place = heap_place(heap, size_bytes);
	struct block_meta *meta;
	struct span *span;
	unsigned class;
	void *block;

	if (unlikely(!buffer || !ht_quick_malloc || !place || heap->taken))
		return malloc_slow(size_bytes, stack);
	heap_take(heap);
	span = *place;
	block = span->free;
	meta = span->meta;
	if (unlikely(!block || !meta || !block_is_marked(block))) {
		heap_give(heap);
		return malloc_slow(size_bytes, stack);
	}
	span_pop(span, block);
	heap_give(heap);
	class = span_class(span);
	if (class == 0)
		__builtin_unreachable();
	record_alloc_into(buffer, true, EVENT_MALLOC, block, size_bytes, class, 0,
			  &meta[block_index(span, block)], stack);
	return block;
}

/* Still in the frame of the program's call: it was jumped to. */
static RECORDED void *malloc_with_stack(size_t size_bytes)
{
	return malloc_here(size_bytes, HT_STACK_OF_CALLER());
}

RECORDED void *malloc_recorded(size_t size_bytes)
{
	if (likely(ht_stacks_on))
		return malloc_with_stack(size_bytes);
	return malloc_here(size_bytes, 0);
}

RECORDED void *calloc_recorded(size_t count, size_t size_bytes)
{
	RESUME_HOLD();
	uint32_t stack = pages_for(HT_STACK_HERE());
	struct span *span;
	void *block;
	size_t bytes;

	if (unlikely(__builtin_mul_overflow(count, size_bytes, &bytes)))
		return failed(EVENT_CALLOC, SIZE_MAX, stack);
	if (unlikely(ht_guard_on))
		return guarded(EVENT_CALLOC, 0, bytes, stack);
	block = noted(block_take_zeroed(bytes, &span), bytes, &span);
	if (unlikely(!block))
		return failed(EVENT_CALLOC, bytes, stack);
	return record_taken(EVENT_CALLOC, block, bytes, span, stack);
}

RECORDED void *memalign_recorded(size_t alignment, size_t size_bytes)
{
	RESUME_HOLD();
	uint32_t stack = pages_for(HT_STACK_HERE());
	struct span *span;
	void *block;

	if (unlikely(ht_guard_on))
		return guarded(EVENT_MEMALIGN, alignment, size_bytes, stack);
	block = noted(block_take_aligned(alignment, size_bytes, &span), size_bytes, &span);
	if (unlikely(!block))
		return failed(EVENT_MEMALIGN, size_bytes, stack);
	return record_taken(EVENT_MEMALIGN, block, size_bytes, span, stack);
}

RECORDED int posix_memalign_recorded(void **ret, size_t alignment, size_t size_bytes)
{
	RESUME_HOLD();
	uint32_t stack = pages_for(HT_STACK_HERE());
	struct span *span;
	void *block;

	if (unlikely(ht_guard_on)) {
		block = ht_guarded_take(EVENT_MEMALIGN, alignment, size_bytes, stack);
		if (pages_done(block))
			*ret = block;
		else if (ht_recording())
			ht_record_alloc(EVENT_MEMALIGN, NULL, size_bytes, 0, 0, NULL, stack);
		return block ? 0 : (errno = ENOMEM);
	}
	block = noted(block_take_aligned(alignment, size_bytes, &span), size_bytes, &span);
	if (unlikely(!block)) {
		failed(EVENT_MEMALIGN, size_bytes, stack);
		return ENOMEM;
	}
	*ret = record_taken(EVENT_MEMALIGN, block, size_bytes, span, stack);
	return 0;
}

/* For the report of a misuse: what the block was, and that it is freed here. */
static __attribute__((noinline, cold)) void remember(struct span *span, void *block, uint32_t stack)
{
	const struct block_meta *meta = span_meta_if_any(span, block);
	bool known = meta && meta->ticks > ht_epoch_ticks;
	size_t size_bytes = span_class(span) ? span_usable(span) : span->requested_bytes;

	if (known && span_class(span))
		size_bytes = meta_size_bytes(meta->site);
	ht_freed_add((uintptr_t)block, size_bytes, known ? meta_stack(meta->site) : 0, stack);
}

static inline void record_and_release(struct span *span, void *block, uint32_t stack)
{
	unsigned class = span_class(span);
	size_t usable_bytes = span_usable(span);

	if (unlikely(ht_freed != NULL))
		remember(span, block, stack);
	ht_record_free(block, class, class ? usable_bytes : span->requested_bytes, usable_bytes,
		       span_meta_if_any(span, block), stack);
	block_release(span, block);
}

static inline void free_at(void *block, uint32_t stack)
{
	RESUME_HOLD();
	struct span *span;

	if (unlikely(ht_guard_on)) {
		ht_guarded_free(block, stack);
		return;
	}
	span = block_to_free(block);
	if (unlikely(!span))
		return;
	if (unlikely(resume_hold.held))
		ht_resume_list_old(span, block);
	record_and_release(span, block, stack);
}

/* Jumped to from the program's call, as malloc_with_stack is. */
static RECORDED void free_with_stack(void *block)
{
	free_at(block, block ? HT_STACK_OF_CALLER() : 0);
}

static __attribute__((noinline)) void free_slow(void *block)
{
	if (unlikely(ht_free_stacks_on))
		free_with_stack(block);
	else
		free_at(block, 0);
}

/* Straight through: a small block of the calling thread's own that was recorded. */
RECORDED void free_recorded(void *block)
{
	struct ring_buffer *buffer = record_ready();
	struct span *span = span_of(block);
	struct block_meta *meta;
	size_t size_bytes;
	unsigned class;

	if (unlikely(!buffer || !ht_quick_free || !span || !span_is_own(span) ||
		     !block_looks_live(span, block) || !span->meta)) {
		free_slow(block);
		return;
	}
	meta = &span->meta[block_index(span, block)];
	if (unlikely(meta->ticks == 0)) {
		free_slow(block);
		return;
	}
	size_bytes = meta_size_bytes(meta->site);
	class = span_class(span);
	if (class == 0)
		__builtin_unreachable();
	record_free_into(buffer, true, block, class, size_bytes, 0, meta_take(meta), 0);
	block_release_own(span->owner, span, block);
}

/* The old block as the event will name it, looked at before anything changes. */
static struct realloc_old look_at_old(struct span *span, void *block)
{
	struct block_meta *meta = span_meta_if_any(span, block);
	struct realloc_old old = { .block = block,
				   .size_bytes = span_usable(span),
				   .usable_bytes = span_usable(span) };

	if (meta)
		old.meta = *meta;
	if (!span_class(span))
		old.size_bytes = span->requested_bytes;
	else if (old.meta.ticks)
		old.size_bytes = meta_size_bytes(old.meta.site);
	return old;
}

static inline void *realloc_nothing(size_t size_bytes, uint32_t stack)
{
	static const struct realloc_old none;
	struct span *span;
	void *block = noted(block_take(size_bytes, &span), size_bytes, &span);

	if (unlikely(!block)) {
		ht_record_realloc(NULL, size_bytes, 0, 0, NULL, &none, stack);
		errno = ENOMEM;
		return NULL;
	}
	ht_record_realloc(block, size_bytes, span_class(span), span_usable(span),
			  span_meta(span, block), &none, stack);
	return block;
}

static inline void *realloc_block(struct span *old_span, void *old_block, size_t size_bytes,
				  uint32_t stack)
{
	struct realloc_old old = look_at_old(old_span, old_block);
	struct block_meta *meta;
	struct span *span;
	void *block;

	if (block_resize(old_span, old_block, size_bytes)) {
		ht_record_realloc(old_block, size_bytes, span_class(old_span),
				  span_usable(old_span), span_meta(old_span, old_block), &old,
				  stack);
		block_trim(old_span);
		return old_block;
	}
	block = noted(block_take_moved(old_span, size_bytes, &span), size_bytes, &span);
	if (unlikely(!block)) {
		ht_record_realloc(NULL, size_bytes, 0, 0, NULL, &old, stack);
		errno = ENOMEM;
		return NULL;
	}
	block_copy(span, block, old_span, old_block,
		   old.usable_bytes < size_bytes ? old.usable_bytes : size_bytes);
	if (unlikely(ht_freed != NULL))
		remember(old_span, old_block, stack);
	meta = span_meta_if_any(old_span, old_block);
	if (meta)
		meta->ticks = 0;
	ht_record_realloc(block, size_bytes, span_class(span), span_usable(span),
			  span_meta(span, block), &old, stack);
	block_release(old_span, old_block);
	return block;
}

static __attribute__((noinline, cold)) void *guarded_realloc(void *old_block, size_t size_bytes,
							     uint32_t stack)
{
	bool refused;
	void *block = ht_guarded_realloc(old_block, size_bytes, stack, &refused);

	if (refused)
		errno = ENOMEM;
	return pages_done(block);
}

RECORDED void *realloc_recorded(void *old_block, size_t size_bytes)
{
	RESUME_HOLD();
	uint32_t stack = pages_for(HT_STACK_HERE());
	struct span *old_span;

	if (unlikely(ht_guard_on))
		return guarded_realloc(old_block, size_bytes, stack);
	if (!old_block)
		return pages_done(realloc_nothing(size_bytes, stack));
	old_span = block_to_realloc(old_block);
	if (unlikely(!old_span)) {
		pages_done(NULL);
		return ht_foreign_realloc(old_block, size_bytes);
	}
	if (unlikely(resume_hold.held))
		ht_resume_list_old(old_span, old_block);
	if (size_bytes == 0) {
		record_and_release(old_span, old_block, ht_free_stacks_on ? stack : 0);
		return pages_done(NULL);
	}
	return pages_done(realloc_block(old_span, old_block, size_bytes, stack));
}
