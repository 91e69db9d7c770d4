#include "shim/alloc/altered.h"

#include <string.h>

#include "shim/alloc/block.h"
#include "shim/alloc/huge.h"
#include "shim/alloc/page_heap.h"
#include "shim/alloc/page_map.h"
#include "shim/prim.h"

struct altered {
	struct span stand_in; /* first: what the page map names */
	uint8_t *how;	      /* of each page of the span */
	size_t pages;
	size_t room; /* bytes at `how` */
};

bool ht_altered_gone;

/* Notes of up to so many bytes lie in memory that stays. A mapping that is made for them would easily lie
 * where the program has just unmapped another block, which that could not be mapped again, then. */
#define ROOM_KEPT ((size_t)16384)

/* Stand-ins stay what they are: another thread may be about to look at one. */
static struct altered *unused;

static struct altered *take_unused(size_t pages)
{
	struct altered **link = &unused, *altered;

	while ((altered = *link) && altered->room < pages)
		link = (struct altered **)&altered->stand_in.next;
	if (altered)
		*link = (struct altered *)altered->stand_in.next;
	return altered;
}

static struct altered *make(size_t pages)
{
	size_t room = PAGES_OF(pages) * PAGE_BYTES;
	struct altered *altered = ht_records_locked(sizeof(*altered));

	if (!altered)
		return NULL;
	altered->how = room <= ROOM_KEPT ? ht_records_locked(room) : prim_map(room);
	altered->room = altered->how ? room : 0;
	return altered;
}

static void put_unused(struct altered *altered)
{
	if (altered->room > ROOM_KEPT) {
		prim_unmap(altered->how, altered->room);
		altered->room = 0;
	}
	altered->stand_in.next = (struct span *)unused;
	unused = altered;
}

static struct altered *altered_make(struct span *span)
{
	struct altered *altered = take_unused(span->pages);

	if (!altered)
		altered = make(span->pages);
	if (!altered)
		return NULL;
	if (!altered->room) {
		put_unused(altered);
		return NULL;
	}
	memset(altered->how, 0, span->pages);
	altered->pages = span->pages;
	altered->stand_in.state = SPAN_STAND_IN;
	altered->stand_in.next = span;
	span->altered = altered;
	return altered;
}

void ht_altered_forget_locked(struct span *span)
{
	struct altered *altered = span->altered;

	if (!altered)
		return;
	span->altered = NULL;
	put_unused(altered);
}

static bool any(const struct altered *altered, size_t from, size_t to)
{
	while (from < to && from < altered->pages && !altered->how[from])
		from++;
	return from < to && from < altered->pages;
}

/* The pages that bytes [at, at + bytes) of a span lie in. */
struct extent {
	size_t from, to;
};

static struct extent pages_of(size_t at, size_t bytes)
{
	return (struct extent){ at / PAGE_BYTES, PAGES_OF(at + bytes) };
}

/* Does a block that starts in this page have altered pages? */
static bool is_concerned(const struct span *span, size_t page)
{
	size_t bytes = span->block_bytes;
	size_t first = (page * PAGE_BYTES + bytes - 1) / bytes, last;
	struct extent extent;

	if (!span->class)
		return page == 0 && any(span->altered, 0, SIZE_MAX);
	last = ((page + 1) * PAGE_BYTES - 1) / bytes;
	if (first > last)
		return false;
	extent = pages_of(first * bytes, (last + 1 - first) * bytes);
	return any(span->altered, extent.from, extent.to);
}

/* Enters the stand-in for all blocks with altered pages, the span for all others. Locked. */
static void enter(struct span *span)
{
	struct altered *altered = span->altered;
	size_t pages = span->class ? span->pages : 1;
	bool in_use = false;

	for (size_t page = 0; page < pages; page++) {
		bool concerned = is_concerned(span, page);
		uintptr_t address = span->start + page * PAGE_BYTES;

		in_use = in_use || concerned;
		/* What was unmapped may be another span's by now. */
		if (span_behind(span_of((void *)address)) == span)
			ht_page_map_set(address, 1, concerned ? &altered->stand_in : span);
	}
	if (!in_use)
		ht_altered_forget_locked(span);
}

/* Notes `set` and takes back `clear` for the span's pages in [start, end). Locked. */
static void note(struct span *span, uintptr_t start, uintptr_t end, unsigned set, unsigned clear)
{
	struct altered *altered = span->altered;
	uintptr_t span_end = span->start + span->pages * PAGE_BYTES;

	if (!altered && (!set || !(altered = altered_make(span))))
		return;
	if (set & ALTERED_GONE)
		ht_altered_gone = true;
	start = start > span->start ? start : span->start;
	end = end < span_end ? end : span_end;
	for (; start < end; start += PAGE_BYTES) {
		uint8_t *how = &altered->how[(start - span->start) / PAGE_BYTES];

		*how = (uint8_t)((*how & ~clear) | set);
	}
	enter(span);
}

static void change(uintptr_t start, size_t bytes, unsigned set, unsigned clear)
{
	uintptr_t end = (start + bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	struct span *span;

	start &= ~(PAGE_BYTES - 1);
	/* A handler that interrupted the page heap does without. */
	if (end <= start || (!ht_page_heap.huge.first && !ht_page_map_next(start, end)) ||
	    !ht_page_heap_lock_patiently())
		return;
	for (uintptr_t at = start; (span = ht_page_map_next(at, end)) != NULL;
	     at = span->start + span->pages * PAGE_BYTES)
		if (span->state == SPAN_SMALL || span->state == SPAN_LARGE)
			note(span, start, end, set, clear);
	for (span = ht_page_heap.huge.first; span; span = span->next)
		if (span->start < end && span->start + span->pages * PAGE_BYTES > start)
			note(span, start, end, set, clear);
	ht_page_heap_unlock();
}

void ht_pages_altered(uintptr_t start, size_t bytes, unsigned how)
{
	change(start, bytes, how, how & (ALTERED_MAPPED | ALTERED_GONE) ? (unsigned)~0 : 0);
}

void ht_pages_restored(uintptr_t start, size_t bytes, unsigned how)
{
	change(start, bytes, 0, how);
}

/* Makes neighbouring pages, of which the same is known, ordinary ones. */
static bool settle_pages(char *start, size_t bytes, unsigned how, bool keep)
{
	void *copy;

	if (how & ALTERED_GONE)
		return prim_map_at(start, bytes, true);
	if (!keep)
		return prim_map_at(start, bytes, false);
	if (!(how & ALTERED_MAPPED))
		return prim_open(start, bytes);
	if (how & ALTERED_BARRED && !prim_open(start, bytes))
		return prim_map_at(start, bytes, false);
	copy = prim_map(bytes);
	if (!copy)
		return false;
	memcpy(copy, start, bytes);
	if (prim_move(copy, bytes, start, bytes))
		return true;
	prim_unmap(copy, bytes);
	return false;
}

/* The block at [at, at + bytes) of the span. Locked. */
static bool settle(struct span *span, size_t at, size_t bytes, bool keep)
{
	struct altered *altered = span->altered;
	struct extent extent = pages_of(at, bytes);
	size_t to, page = extent.from;
	bool done = true;

	if (extent.to > altered->pages)
		extent.to = altered->pages;
	for (; page < extent.to; page = to) {
		/* A page at either end may hold other blocks, too. */
		bool whole = page * PAGE_BYTES >= at && (page + 1) * PAGE_BYTES <= at + bytes;
		uint8_t how = altered->how[page];

		to = page + 1;
		while (whole && to < extent.to && altered->how[to] == how &&
		       (to + 1) * PAGE_BYTES <= at + bytes)
			to++;
		if (how && settle_pages((char *)span->start + page * PAGE_BYTES,
					(to - page) * PAGE_BYTES, how, keep || !whole))
			memset(&altered->how[page], 0, to - page);
		else if (how)
			done = false;
	}
	if (done)
		enter(span);
	return done;
}

struct span *ht_altered_settle(const void *block, enum settle_for purpose)
{
	struct span *span;
	bool done = true;

	if (!ht_page_heap_lock())
		return NULL;
	span = span_behind(span_of(block));
	/* What is not a block, the caller reports. */
	if (purpose != SETTLE_NOT && span && span->altered && block_is_start(span, block))
		done = settle(span, (uintptr_t)block - span->start, span->block_bytes,
			      purpose == SETTLE_KEEP);
	ht_page_heap_unlock();
	return done ? span : NULL;
}

/* What of the span's pages the program has not unmapped is nobody's use any more. */
static void unmap_rest(const struct span *span)
{
	const struct altered *altered = span->altered;

	for (size_t to, page = 0; page < altered->pages; page = to) {
		bool gone = altered->how[page] & ALTERED_GONE;

		for (to = page + 1; to < altered->pages; to++)
			if (!(altered->how[to] & ALTERED_GONE) == gone)
				break;
		if (!gone)
			prim_unmap((char *)span->start + page * PAGE_BYTES,
				   (to - page) * PAGE_BYTES);
	}
}

void ht_altered_lose(const void *block)
{
	struct span *span;

	if (!ht_page_heap_lock_patiently())
		return;
	span = span_behind(span_of(block));
	if (span && !span->class && span->altered && span->start == (uintptr_t)block) {
		__atomic_store_n(&span->used, 0, __ATOMIC_RELAXED);
		if (span->state == SPAN_HUGE) {
			ht_huge_tell_end_locked(span);
			unmap_rest(span);
			ht_huge_leave_locked(span);
		}
	}
	ht_page_heap_unlock();
}
