#include "shim/alloc.h"

#include <stdint.h>
#include <string.h>

#include "shim/heap.h"
#include "shim/span.h"

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

void *ht_take_slow(size_t size_bytes, struct span **ret_span)
{
	struct heap *heap = ht_heap_enter();
	struct free_block *block;
	struct span *span;

	if (!heap)
		return NULL;
	for (;;) {
		span = ht_heap_find(heap, size_class_of(size_bytes));
		if (!span) {
			ht_heap_leave(heap);
			return NULL;
		}
		block = span->free;
		if (likely(block_is_marked(block)))
			break;
		ht_list_broken(span);
	}
	span->free = block->next;
	span->used++;
	block->mark = 0;
	ht_heap_leave(heap);
	*ret_span = span;
	settle();
	return block;
}

static void *take_pages(size_t size_bytes, size_t align_pages, struct span **ret_span)
{
	struct span *span;

	if (size_bytes > PTRDIFF_MAX)
		return NULL;
	span = ht_span_large(size_bytes, align_pages);
	if (unlikely(!span)) {
		ht_heap_flush();
		span = ht_span_large(size_bytes, align_pages);
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

void *ht_take_large(size_t size_bytes, struct span **ret_span)
{
	return take_pages(size_bytes, 1, ret_span);
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
				   alignment > PAGE_BYTES ? alignment / PAGE_BYTES : 1, ret_span);
		if (block)
			(*ret_span)->requested_bytes = size_bytes;
		return block;
	}
	/* Blocks lie at multiples of their size from a page's start. SMALL_MAX_BYTES always fits. */
	class = size_class_of(size_bytes > alignment ? size_bytes : alignment);
	while (size_class_bytes(class) % alignment != 0)
		++class;
	return block_take(size_class_bytes(class), ret_span);
}

void ht_release_trigger(struct span *span)
{
	struct heap *heap;

	if (unlikely(ht_page_heap_held)) { /* at the next free, then */
		if (span->used)
			span->trigger = span->used - 1;
		return;
	}
	heap = ht_heap_enter();
	if (!heap)
		return;
	ht_heap_trigger(heap, span);
	ht_heap_leave(heap);
}

void ht_release_other(struct span *span, void *block)
{
	if (span->class)
		ht_span_push(span, block);
	else
		ht_span_large_give(span);
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

		if (prim_move_pages(from, to, whole)) {
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
