#include "shim/alloc/alloc.h"
#include "shim/control.h"

#include <stdint.h>
#include <string.h>

#include "shim/alloc/heap.h"
#include "shim/alloc/span.h"

/* From this many bytes on, moving pages beats copying them. */
#define MOVE_LEAST_BYTES ((size_t)1 << 19)

bool ht_look_at_marks = true;

/* A block that came from another thread or the system: the time stamp must not run ahead of the
 * atomic operations that got it. */
static inline void settle(void)
{
#if defined(__x86_64__)
	if (unlikely(ht_recording()))
		__builtin_ia32_lfence();
#endif
}

static void *take_pages(size_t size_bytes, size_t align_pages, const struct span *grows,
			struct span **ret_span)
{
	struct span *span;

	if (size_bytes > PTRDIFF_MAX)
		return NULL;
	span = ht_span_large(size_bytes, align_pages, grows);
	if (unlikely(!span)) {
		ht_heap_flush();
		span = ht_span_large(size_bytes, align_pages, NULL);
	}
	if (!span)
		return NULL;
	/* Where a small block was free once, its mark may have stayed. */
	if (span->zero_from)
		((struct free_block *)span->start)->mark = 0;
	*ret_span = span;
	settle();
	return (void *)span->start;
}

void *ht_take_alone(size_t size_bytes, struct span **ret_span)
{
	void *block = take_pages(size_bytes ? size_bytes : 1, 1, NULL, ret_span);

	if (!block)
		return NULL;
	(*ret_span)->requested_bytes = size_bytes;
	if ((*ret_span)->zero_from)
		memset(block, 0, size_bytes);
	return block;
}

/* The heap is taken: the thread has none yet, or this is a handler that interrupted work on it. */
static void *take_inner(size_t size_bytes, struct span **ret_span)
{
	struct heap *inner = ht_heap_free(), *heap = ht_heap;
	void *block;

	if (!inner)
		return ht_take_alone(size_bytes, ret_span);
	ht_heap_set(inner);
	block = block_take(size_bytes, ret_span);
	ht_heap_set(heap);
	return block;
}

void *ht_take_slow(size_t size_bytes, struct span **ret_span)
{
	struct heap *heap = ht_heap;
	struct free_block *block;
	struct span *span;

	if (size_bytes > SMALL_MAX_BYTES)
		return take_pages(size_bytes, 1, NULL, ret_span);
	if (unlikely(heap->taken))
		return take_inner(size_bytes, ret_span);
	if (unlikely(heap->outer) && ht_heap_back())
		return block_take(size_bytes, ret_span);
	ht_heap_rearrange(heap);
	for (;;) {
		span = ht_heap_find(heap, size_class_of(size_bytes));
		if (!span) {
			heap_give(heap);
			return ht_take_alone(size_bytes, ret_span);
		}
		block = span->free;
		if (likely(block_is_marked(block)))
			break;
		ht_list_broken(span);
	}
	span_pop(span, block);
	heap_give(heap);
	*ret_span = span;
	settle();
	return block;
}

void *ht_take_grown(struct span *old_span, size_t size_bytes, struct span **ret_span)
{
	return take_pages(size_bytes, 1, old_span, ret_span);
}

void *ht_take_zeroed(size_t size_bytes, struct span **ret_span)
{
	struct span *span;
	void *block = block_take(size_bytes, &span);

	if (unlikely(!block))
		return NULL;
	if (unlikely(!span->class)) {
		size_t touched = span->zero_from * PAGE_BYTES;

		memset(block, 0, touched < size_bytes ? touched : size_bytes);
	} else {
		memset(block, 0, size_bytes);
	}
	*ret_span = span;
	return block;
}

void *ht_take_aligned(size_t alignment, size_t size_bytes, struct span **ret_span)
{
	unsigned class;
	void *block;

	if (alignment <= BLOCK_ALIGN)
		return block_take(size_bytes, ret_span);
	if (size_bytes > PTRDIFF_MAX || alignment > PTRDIFF_MAX)
		return NULL;
	if (alignment > PAGE_BYTES || size_bytes > SMALL_MAX_BYTES) {
		block = take_pages(size_bytes ? size_bytes : 1,
				   alignment > PAGE_BYTES ? alignment / PAGE_BYTES : 1, NULL,
				   ret_span);
		if (block)
			(*ret_span)->requested_bytes = size_bytes;
		return block;
	}
	/* Blocks lie at multiples of their size from a page's start. SMALL_MAX_BYTES always fits. */
	class = size_class_of(size_bytes > alignment ? size_bytes : alignment);
	while (size_class_bytes(class) % alignment != 0)
		++class;
	block = block_take(size_class_bytes(class), ret_span);
	if (unlikely(block && !(*ret_span)->class)) /* a block of pages will do, too */
		(*ret_span)->requested_bytes = size_bytes;
	return block;
}

void ht_release_trigger(struct span *span)
{
	struct heap *heap = ht_heap;

	ht_heap_rearrange(heap);
	if (likely(!ht_page_heap_held))
		ht_heap_trigger(heap, span);
	else if (span->used) /* at the next free, then */
		span->trigger = span->used - 1;
	heap_give(heap);
}

void ht_release_other(struct span *span, void *block)
{
	struct heap *heap = ht_heap;

	if (span->class && unlikely(__atomic_load_n(&span->owner, __ATOMIC_RELAXED) == heap) &&
	    ht_heap_regain(heap))
		block_release_own(heap, span, block);
	else if (span->class)
		ht_span_push(span, block);
	else
		ht_span_give(span);
}

bool block_resize(struct span *span, void *p, size_t size_bytes)
{
	size_t usable = span->block_bytes;

	(void)p;
	if (span->class)
		return size_bytes <= usable && (size_bytes >= usable / 2 || usable <= 128);
	if (size_bytes <= SMALL_MAX_BYTES || size_bytes > PTRDIFF_MAX)
		return false;
	return ht_span_large_resize(span, size_bytes);
}

void block_trim(struct span *span)
{
	if (!span->class && span->block_bytes < span->pages * PAGE_BYTES)
		ht_span_large_trim(span);
}

void block_copy(struct span *to_span, void *to, struct span *from_span, void *from, size_t bytes)
{
	/* Not onto touched pages: those would be lost, and the old ones are as good as lost. */
	if (bytes >= MOVE_LEAST_BYTES && !to_span->class && !from_span->class &&
	    to_span->zero_from <= to_span->pages / 4) {
		size_t whole = PAGES_OF(bytes) * PAGE_BYTES;

		if (to_span->state == SPAN_HUGE && !to_span->alone
			    ? ht_huge_fill(to_span, from, whole)
			    : prim_move_out(from, to, whole)) {
			from_span->emptied = whole == from_span->pages * PAGE_BYTES;
			return;
		}
	}
	memcpy(to, from, bytes);
}

void ht_alloc_walk(bool (*visit)(struct span *span, void *context), void *context)
{
	ht_page_map_walk(visit, context);
}

bool ht_block_is_live(const struct span *span, uint32_t index)
{
	const char *at = (const char *)span->start + index * span->block_bytes;

	if (span->state == SPAN_LARGE || span->state == SPAN_HUGE)
		return index == 0;
	return span->state == SPAN_SMALL && index < span->carved &&
	       ((const struct free_block *)(const void *)at)->mark != block_mark(at);
}
