#include "shim/alloc/check.h"

#include <stdlib.h>
#include <string.h>

#include "shim/alloc/alloc.h"
#include "shim/alloc/heap.h"
#include "shim/alloc/page_heap.h"
#include "shim/alloc/span.h"
#include "shim/libc.h"

__attribute__((noreturn)) static void broken(const char *what)
{
	static const char head[] = "heaptape: broken invariant: ";

	prim_complain(head, sizeof(head) - 1);
	prim_complain(what, strlen(what));
	prim_complain("\n", 1);
	ht_libc()->abort();
	__builtin_trap();
}

static const struct span *span_at(uintptr_t address)
{
	return span_behind(span_of((void *)address));
}

#define CHECK(what)                    \
	do {                           \
		if (unlikely(!(what))) \
			broken(#what); \
	} while (0)

static uint32_t check_list(const struct span *span, const struct free_block *block)
{
	uint32_t count = 0;

	for (; block; block = block->next) {
		uintptr_t offset = (uintptr_t)block - span->start;

		CHECK(offset < span->carved * span->block_bytes);
		CHECK(offset % span->block_bytes == 0);
		CHECK(block_index(span, block) == offset / span->block_bytes);
		CHECK(++count <= span->capacity);
	}
	return count;
}

/* Blocks that are neither free nor in use: signal handlers jumped out of calls. */
static uint32_t uncounted(const struct span *span)
{
	return span->used + check_list(span, span->free) - span->carved;
}

/* A small span of the calling thread's, or one nobody owns (locked). */
void ht_check_span(const struct span *span)
{
	uint64_t word = remote_load(span);

	CHECK(span->state == SPAN_SMALL);
	CHECK(span->class >= 1 && span->class <= CLASS_COUNT);
	CHECK(span->block_bytes == size_class_bytes(span->class));
	CHECK(span->block_bytes > 0);
	CHECK(span->capacity == span->pages * PAGE_BYTES / span->block_bytes);
	CHECK(span->carved <= span->capacity);
	CHECK(uncounted(span) <= __atomic_load_n(&ht_heaps_left, __ATOMIC_RELAXED));
	CHECK(remote_count(word) <= span->used || (word & REMOTE_CLAIMED));
	CHECK(!span->meta == !span->meta_span);
	CHECK(!span->meta || !span->fast_owner);
	CHECK(span_at(span->start) == span);
	CHECK(span_at(span->start + span->pages * PAGE_BYTES - 1) == span);
}

void ht_check_heap(const struct heap *heap)
{
	for (unsigned class = 1; class <= CLASS_COUNT; ++class) {
		const struct class_spans *spans = &heap->classes[class];
		const struct span *span, *last = NULL;
		uint32_t count = 0;

		for (span = spans->partial.first; span; last = span, span = span->next) {
			CHECK(span->owner == heap && span->class == class);
			CHECK(!span->listed_full && span->prev == last);
			CHECK(span->trigger == 0 || span->trigger == TRIGGER_NEVER);
			CHECK(!(remote_load(span) & REMOTE_FLAGS));
			ht_check_span(span);
			count++;
		}
		CHECK(spans->partial.last == last);
		last = NULL;
		for (span = spans->full.first; span; last = span, span = span->next) {
			uint64_t word = remote_load(span);

			count++;
			CHECK(span->listed_full && span->prev == last);
			if (word & (REMOTE_CLAIMED | REMOTE_DEAD))
				continue;
			CHECK(word & REMOTE_FROZEN);
			CHECK(span->owner == heap && span->class == class);
			CHECK(span->trigger < span->capacity && span->used > span->trigger);
			CHECK(span->used <= span->frozen_used);
		}
		CHECK(spans->full.last == last);
		CHECK(spans->spans == count);
		CHECK(heap->current[class] == &ht_span_none ||
		      heap->current[class] == spans->partial.first);
	}
	for (size_t i = 0; i < DIRECT_COUNT; i++)
		CHECK(heap->direct[i] == heap->current[size_class_of(i * BLOCK_ALIGN)]);
}

struct tally {
	size_t pages;
	size_t free_pages;
	size_t dirty_pages;
	const struct span *last;
};

static bool check_mapped(struct span *span, void *context)
{
	struct tally *tally = context;
	size_t inside = span->state == SPAN_HUGE ? 0 : span->pages - 1;

	CHECK(span->pages > 0 && span->dirty_from <= span->zero_from &&
	      span->zero_from <= span->pages);
	CHECK(span->state != SPAN_HUSK);
	if (!span->alone)
		tally->pages += span->pages;
	CHECK(span_at(span->start + inside * PAGE_BYTES) == span);
	if (span->state == SPAN_FREE) {
		tally->free_pages += span->pages;
		tally->dirty_pages += span->zero_from - span->dirty_from;
		if (tally->last && tally->last->state == SPAN_FREE &&
		    tally->last->from_break == span->from_break)
			CHECK(tally->last->start + tally->last->pages * PAGE_BYTES != span->start);
		for (size_t page = 1; page + 1 < span->pages; page++)
			CHECK(!span_at(span->start + page * PAGE_BYTES));
	} else {
		for (size_t page = 1; page < inside; page++)
			CHECK(span_at(span->start + page * PAGE_BYTES) == span);
	}
	tally->last = span;
	return true;
}

void ht_check_page_heap(void)
{
	struct page_heap *heap = &ht_page_heap;
	struct tally tally = { 0 };
	size_t bin_pages = 0, bin_dirty = 0;

	if (!ht_page_heap_lock())
		return;
	ht_page_map_walk(check_mapped, &tally);
	for (unsigned bin = 0; bin < PAGE_BIN_COUNT; bin++) {
		CHECK(!heap->bins[bin] == !(heap->bins_used[bin / 64] >> bin % 64 & 1));
		for (struct span *run = heap->bins[bin]; run; run = run->next) {
			CHECK(run->state == SPAN_FREE);
			CHECK(!run->next || run->next->prev == run);
			bin_pages += run->pages;
			bin_dirty += run->zero_from - run->dirty_from;
		}
	}
	CHECK(bin_pages == heap->free_pages && bin_pages == tally.free_pages);
	CHECK(bin_dirty == heap->free_dirty_pages && bin_dirty == tally.dirty_pages);
	CHECK(tally.pages == heap->system_pages);
	for (unsigned class = 1; class <= CLASS_COUNT; ++class) {
		uint32_t count = 0;

		for (struct span *span = heap->abandoned[class].first; span; span = span->next) {
			CHECK(!span->owner && !span->fast_owner && span->class == class);
			CHECK(span->used == span->frozen_used && span->used > 0);
			CHECK(remote_load(span) & REMOTE_FROZEN);
			ht_check_span(span);
			count++;
		}
		CHECK(count == heap->abandoned_count[class]);
	}
	ht_page_heap_unlock();
}

#if HT_DEBUG
void ht_check_sometimes(const struct heap *heap)
{
	static __thread uint32_t calls __attribute__((tls_model("initial-exec")));

	calls++;
	if (calls % 64 == 0)
		ht_check_heap(heap);
	if (calls % 4096 == 0)
		ht_check_page_heap();
}
#endif
