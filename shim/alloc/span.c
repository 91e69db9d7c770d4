#include "shim/alloc/size_class.h"
#include "shim/alloc/span.h"
#include "shim/alloc/watch.h"
#include "shim/control.h"

#include <string.h>

#include "shim/alloc/emergency.h"

/* Classes up to these sizes have spans of at most 16, 32 pages; larger ones 64. */
#define SPAN_16_BYTES 1024
#define SPAN_32_BYTES 4096

/* A block that grows has this part of its pages to spare at least. */
#define LARGE_SPARE_PART 8
#define HUGE_SPARE_PART 64
#define SPARE_PART(pages) ((pages) > HUGE_LEAST_PAGES ? HUGE_SPARE_PART : LARGE_SPARE_PART)

static void tell_span(unsigned kind, struct span *span)
{
	uint64_t details[2] = { span->pages * PAGE_BYTES, span->block_bytes };

	if (unlikely(ht_recording()))
		ht_watch_pages(kind | EVENT_BY_ALLOCATOR, span->start, details);
}

size_t ht_span_pages(unsigned class, uint32_t spans)
{
	size_t block = size_class_bytes(class), pages = PAGES_OF(block), most;

	most = block <= SPAN_16_BYTES ? 16 : block <= SPAN_32_BYTES ? 32 : 64;
	/* At most an eighth of a span is too short for a block. */
	while (pages * PAGE_BYTES % block > pages * PAGE_BYTES / 8)
		pages++;
	for (; spans > 0 && pages * 2 <= most; spans--)
		pages *= 2;
	return pages;
}

struct span *ht_span_small(unsigned class, size_t pages, bool may_grow)
{
	struct page_heap *heap = &ht_page_heap;
	struct span *span;

	if (unlikely(!ht_page_heap_lock()))
		return NULL;
	span = heap->abandoned[class].first;
	if (span) {
		span_list_remove(&heap->abandoned[class], span);
		heap->abandoned_count[class]--;
		ht_span_thaw(span);
		ht_page_heap_unlock();
		return span;
	}
	span = ht_pages_take_locked(pages, 1, may_grow);
	if (span) {
		span->block_bytes = size_class_bytes(class);
		span->capacity = (uint32_t)(span->pages * PAGE_BYTES / span->block_bytes);
		span->class = (uint8_t) class;
		span->state = SPAN_SMALL;
		span->reciprocal = UINT64_MAX / span->block_bytes + 1;
		tell_span(EVENT_SPAN, span);
	}
	ht_page_heap_unlock();
	return span;
}

/* Pages that blocks were ever carved from are touched. */
void ht_span_small_give_locked(struct span *span, bool keep_husk)
{
	size_t touched = PAGES_OF(span->carved * span->block_bytes);

	if (span->zero_from < touched)
		span->zero_from = touched;
	tell_span(EVENT_UNSPAN, span);
	if (span->meta_span) {
		span->meta_span->zero_from = span->meta_span->pages;
		ht_pages_give_locked(span->meta_span, false);
		span->meta_span = NULL;
		span->meta = NULL;
	}
	ht_pages_give_locked(span, keep_husk);
}

static struct span *large_begin(struct span *span, size_t size_bytes)
{
	span->block_bytes = span->pages * PAGE_BYTES;
	span->requested_bytes = size_bytes;
	span->capacity = span->carved = span->used = 1;
	span->reciprocal = 1;
	tell_span(EVENT_SPAN, span);
	return span;
}

/*
 * Pages for a block of `old` pages that grows to `pages`. A few to spare, so that growing by little
 * at a time is not a call of the system, or moving the block, at each step. Nothing touches them
 * before the program does.
 */
static size_t with_spare(size_t pages, size_t old, size_t part)
{
	return pages < old + old / part ? old + old / part : pages;
}

struct span *ht_span_large(size_t size_bytes, size_t align_pages, const struct span *grows)
{
	size_t pages = PAGES_OF(size_bytes);
	struct span *span;

	if (grows)
		pages = with_spare(pages, grows->pages, SPARE_PART(pages));
	if (pages + align_pages > HUGE_LEAST_PAGES && !ht_page_heap_held) {
		span = grows ? ht_huge_take_grown(pages, grows->start)
			     : ht_huge_take(pages, align_pages);
		if (unlikely(!span))
			span = ht_emergency_take(pages, align_pages);
	} else if (likely(ht_page_heap_lock())) {
		span = ht_pages_take_locked(pages, align_pages, true);
		if (span) {
			span->state = SPAN_LARGE;
			large_begin(span, size_bytes);
		}
		ht_page_heap_unlock();
		return span;
	} else {
		span = ht_emergency_take(pages, align_pages);
	}
	return span ? large_begin(span, size_bytes) : NULL;
}

/* Spans that were to be given back while the page heap was closed; the next to give one back gives
 * them, too. */
static struct span *parked;
#define GIVEN_AT_ONCE 32

static void park(struct span *span)
{
	struct span *first = __atomic_load_n(&parked, __ATOMIC_RELAXED);

	/* The block is dead, also for who lists the live ones meanwhile. */
	if (!span->class)
		__atomic_store_n(&span->used, 0, __ATOMIC_RELAXED);
	/* Nobody needs its free list any more; it may still be in a list of the page heap's. */
	do
		span->free = (struct free_block *)(void *)first;
	while (!__atomic_compare_exchange_n(&parked, &first, span, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED));
}

/* False: the page heap is closed. */
static bool try_to_give(struct span *span)
{
	if (span->state == SPAN_HUGE)
		return unlikely(span->alone) ? ht_emergency_give(span) : ht_huge_give(span);
	if (unlikely(!ht_page_heap_lock()))
		return false;
	if (span->class) {
		ht_span_small_give_locked(span, false);
	} else {
		tell_span(EVENT_UNSPAN, span);
		span->zero_from = span->emptied ? 0 : span->pages;
		ht_pages_give_locked(span, false);
	}
	ht_page_heap_unlock();
	return true;
}

void ht_span_give(struct span *span)
{
	struct span *next;

	if (unlikely(!try_to_give(span))) {
		if (!span->alone || !ht_emergency_keep(span))
			park(span);
		return;
	}
	if (likely(!__atomic_load_n(&parked, __ATOMIC_RELAXED)))
		return;
	span = __atomic_exchange_n(&parked, NULL, __ATOMIC_ACQUIRE);
	for (unsigned given = 0; span; span = next) {
		next = (struct span *)(void *)span->free;
		if (given++ == GIVEN_AT_ONCE || !try_to_give(span))
			park(span);
	}
}

/* The pages of a large block were `old` until now. */
static void tell_resized(struct span *span, size_t old)
{
	size_t now = span->pages;

	span->pages = old;
	tell_span(EVENT_UNSPAN, span);
	span->pages = now;
	tell_span(EVENT_SPAN, span);
}

static bool grow(struct span *span, size_t pages)
{
	size_t old = span->pages, more = with_spare(pages, old, HUGE_SPARE_PART);
	bool done;

	if (span->state == SPAN_HUGE) {
		done = ht_huge_resize(span, more) || (more > pages && ht_huge_resize(span, pages));
	} else {
		if (unlikely(!ht_page_heap_lock()))
			return false;
		done = ht_pages_extend_locked(span, pages - old);
		ht_page_heap_unlock();
	}
	if (done) {
		span->block_bytes = span->pages * PAGE_BYTES;
		tell_resized(span, old);
	}
	return done;
}

bool ht_span_large_resize(struct span *span, size_t size_bytes)
{
	size_t pages = PAGES_OF(size_bytes), old = span->pages;

	if (pages <= old && (size_bytes >= span->requested_bytes || (old - pages) * 16 <= pages)) {
		span->block_bytes = old * PAGE_BYTES;
		span->requested_bytes = size_bytes;
		return true;
	}
	if (unlikely(span->alone))
		return false;
	if (span->state == SPAN_HUGE) {
		if (pages < HUGE_LEAST_PAGES / 2 || pages > (SIZE_MAX >> PAGE_SHIFT) / 4)
			return false;
	} else if (pages > HUGE_LEAST_PAGES) {
		return false;
	}
	if (pages > old) {
		if (!grow(span, pages))
			return false;
	} else {
		if (span->state == SPAN_HUGE && prim_forbidden & 1u << PRIM_MREMAP)
			return false;
		span->block_bytes = pages * PAGE_BYTES;
	}
	span->requested_bytes = size_bytes;
	return true;
}

/* Where that fails the block has more pages than it says. */
void ht_span_large_trim(struct span *span)
{
	size_t pages = span->block_bytes / PAGE_BYTES, old = span->pages;

	if (span->state == SPAN_HUGE) {
		if (ht_huge_resize(span, pages))
			tell_resized(span, old);
		return;
	}
	if (unlikely(!ht_page_heap_lock()))
		return;
	/* The last pages of a large block may have been written. */
	span->zero_from = span->pages;
	ht_pages_shrink_locked(span, pages);
	if (span->pages != old)
		tell_resized(span, old);
	ht_page_heap_unlock();
}

bool ht_span_carve(struct span *span)
{
	size_t size = span->block_bytes;
	uint32_t count = size >= PAGE_BYTES ? 1 : (uint32_t)(PAGE_BYTES / size);
	uint32_t left = span->capacity - span->carved;
	char *at = (char *)span->start + span->carved * size;
	struct free_block *first = (struct free_block *)at;

	if (left == 0)
		return false;
	if (count > left)
		count = left;
	left = span->carved + count;
	for (; count > 1; count--) {
		struct free_block *block = (struct free_block *)at;

		at += size;
		block->next = (struct free_block *)at;
		block->mark = block_mark(block);
	}
	((struct free_block *)at)->next = span->free;
	((struct free_block *)at)->mark = block_mark(at);
	/* Who looks from another thread finds marks in all of them. */
	__atomic_store_n(&span->carved, left, __ATOMIC_RELEASE);
	span->free = first;
	return true;
}

/* Joins a list that was the span's remote one to its free list. */
static void take_in(struct span *span, uint64_t word)
{
	struct free_block *first = remote_first(word), *last = first;

	if (!first)
		return;
	if (span->free) {
		while (last->next)
			last = last->next;
		last->next = span->free;
	}
	span->free = first;
	span->used -= remote_count(word);
}

bool ht_span_collect(struct span *span)
{
	if (likely(!remote_first(__atomic_load_n(&span->remote, __ATOMIC_RELAXED))))
		return false;
	take_in(span, __atomic_exchange_n(&span->remote, 0, __ATOMIC_ACQUIRE));
	return true;
}

bool ht_span_freeze(struct span *span)
{
	uint64_t expect = 0;

	__atomic_store_n(&span->frozen_used, span->used, __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n(&span->remote, &expect, REMOTE_FROZEN, false,
					   __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

bool ht_span_thaw(struct span *span)
{
	uint64_t word = remote_load(span);

	do {
		if (word & (REMOTE_CLAIMED | REMOTE_DEAD))
			return false;
	} while (!__atomic_compare_exchange_n(&span->remote, &word, 0, false, __ATOMIC_ACQUIRE,
					      __ATOMIC_ACQUIRE));
	take_in(span, word);
	return true;
}

/*
 * The push of `block` onto `word` frees the last block of a frozen span. Claims the span first, so
 * that its owner lets go of it, then makes sure: it may have been thawed and frozen again between
 * our two looks. The lock is held. False: the word changed, look again.
 */
static bool claim_locked(struct span *span, uint64_t word, struct free_block *block)
{
	uint64_t claimed = word | REMOTE_CLAIMED;
	bool whole;

	if (!__atomic_compare_exchange_n(&span->remote, &word, claimed, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return false;
	whole = remote_count(word) + 1 == __atomic_load_n(&span->frozen_used, __ATOMIC_RELAXED);
	if (whole && !__atomic_load_n(&span->owner, __ATOMIC_RELAXED)) {
		span_list_remove(&ht_page_heap.abandoned[span->class], span);
		ht_page_heap.abandoned_count[span->class]--;
		ht_span_small_give_locked(span, false);
	} else if (whole) {
		ht_span_small_give_locked(span, true);
		span->state = SPAN_HUSK;
		__atomic_store_n(&span->remote, REMOTE_DEAD, __ATOMIC_RELEASE);
	} else {
		block->next = remote_first(word);
		word = (word + REMOTE_ONE) & ~REMOTE_ADDRESS;
		__atomic_store_n(&span->remote, word | (uintptr_t)block, __ATOMIC_RELEASE);
	}
	return true;
}

void ht_span_push(struct span *span, void *p)
{
	struct free_block *block = p;
	uint64_t word = remote_load(span), next;
	unsigned round = 0;

	block->mark = block_mark(p);
	for (;;) {
		if (unlikely(word & (REMOTE_CLAIMED | REMOTE_DEAD))) {
			/* Every block of it is free: the program freed this one twice. */
			if (word & REMOTE_DEAD)
				return;
			/* A handler may have interrupted just that: it cannot wait, the block is lost. */
			if (unlikely(ht_page_heap_held))
				return;
			prim_relax(round++);
			word = remote_load(span);
			continue;
		}
		if (unlikely(word & REMOTE_FROZEN) &&
		    remote_count(word) + 1 ==
			    __atomic_load_n(&span->frozen_used, __ATOMIC_RELAXED) &&
		    likely(ht_page_heap_lock())) {
			bool claimed = claim_locked(span, word, block);

			ht_page_heap_unlock();
			if (claimed)
				return;
			word = remote_load(span);
			continue;
		}
		block->next = remote_first(word);
		next = ((word + REMOTE_ONE) & ~REMOTE_ADDRESS) | (uintptr_t)block;
		if (__atomic_compare_exchange_n(&span->remote, &word, next, true, __ATOMIC_RELEASE,
						__ATOMIC_ACQUIRE))
			return;
	}
}

struct block_meta *ht_span_meta_make_locked(struct span *span)
{
	struct block_meta *meta;
	struct span *pages;

	if (!span->class) {
		meta = (struct block_meta *)(void *)span->own_meta;
		__atomic_store_n(&span->meta, meta, __ATOMIC_RELEASE);
		return meta;
	}
	meta = span->meta;
	pages = meta ? NULL
		     : ht_pages_take_locked(PAGES_OF(span->capacity * sizeof(*meta)), 1, true);
	if (pages) {
		pages->state = SPAN_META;
		meta = (struct block_meta *)pages->start;
		memset(meta, 0, pages->zero_from * PAGE_BYTES);
		span->meta_span = pages;
		__atomic_store_n(&span->meta, meta, __ATOMIC_RELEASE);
		__atomic_store_n(&span->fast_owner, NULL, __ATOMIC_RELAXED);
	}
	return meta;
}

struct block_meta *ht_span_meta_make(struct span *span)
{
	struct block_meta *meta;

	if (!span->class)
		return ht_span_meta_make_locked(span);
	if (unlikely(!ht_page_heap_lock()))
		return NULL;
	meta = ht_span_meta_make_locked(span);
	ht_page_heap_unlock();
	return meta;
}
