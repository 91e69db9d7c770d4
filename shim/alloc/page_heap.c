#include "shim/alloc/page_heap.h"

#include <errno.h>
#include <sys/mman.h>

#include "shim/alloc/altered.h"
#include "shim/alloc/block.h"
#include "shim/alloc/free_run.h"
#include "shim/alloc/page_map.h"
#include "shim/alloc/watch.h"
#include "shim/control.h"

/* Steps of growth, in pages. */
#define GROW_LEAST HEAP_FIRST_PAGES
#define GROW_MOST ((size_t)4096)
#define GROW_MAPPED_LEAST ((size_t)256)

/* An epoch of decay is at least this many freed pages. */
#define EPOCH_LEAST ((size_t)1024)

/* A heap above this is not in the caches as a whole. */
#define MARKS_MOST_PAGES ((size_t)2048)

/* Less than this many free touched pages are no matter when the heap grows. */
#define MAKE_UP_LEAST ((size_t)64)

/* Doublings of an epoch. */
#define PATIENCE_MOST 8

/* Shorter ones are not worth a call when the system is short of memory. */
#define ROOM_LEAST ((size_t)16)

/* Free runs from mmap of at least this many pages are unmapped rather than purged. */
#define UNMAP_LEAST ((size_t)256)

struct page_heap ht_page_heap;
__thread bool ht_page_heap_held;

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How far a lies beyond b. */
static size_t beyond(size_t a, size_t b)
{
	return a > b ? a - b : 0;
}

/* Page events; details as proto/event.h has them. */
static void tell(unsigned kind, uintptr_t address, uint64_t first, uint64_t second)
{
	uint64_t details[2] = { first, second };

	if (unlikely(ht_recording()))
		ht_watch_pages(kind | EVENT_BY_ALLOCATOR, address, details);
}

/* Growth */

/* Pages of the runs, without those of huge blocks. */
static size_t run_pages(void)
{
	return ht_page_heap.system_pages - ht_page_heap.huge_bytes / PAGE_BYTES;
}

void ht_pages_count_locked(size_t pages)
{
	ht_page_heap.system_pages += pages;
	if (ht_page_heap.system_pages > ht_page_heap.most_pages)
		ht_page_heap.most_pages = ht_page_heap.system_pages;
	if (run_pages() > ht_page_heap.most_run_pages)
		ht_page_heap.most_run_pages = run_pages();
	if (!HT_DEBUG && ht_page_heap.most_pages > MARKS_MOST_PAGES)
		ht_look_at_marks = false;
}

static bool add_run(uintptr_t start, size_t pages, bool from_break)
{
	struct span *run;

	if (!ht_page_map_reserve(start, pages))
		return false;
	run = ht_span_struct_locked();
	if (!run)
		return false;
	run->start = start;
	run->pages = pages;
	run->from_break = from_break;
	ht_pages_count_locked(pages);
	if (unlikely(ht_altered_gone))
		ht_page_map_set(start, pages, NULL);
	ht_run_join(run);
	return true;
}

/* True while the break is where we left it, or nobody has moved it yet. */
static bool break_is_ours(uintptr_t now)
{
	if (ht_page_heap.break_foreign)
		return false;
	if (ht_page_heap.break_end && now != ht_page_heap.break_end)
		ht_page_heap.break_foreign = true;
	return !ht_page_heap.break_foreign;
}

static bool grow_break(size_t pages)
{
	struct page_heap *heap = &ht_page_heap;
	uintptr_t now, start, want;

	if (heap->break_foreign || (now = prim_break()) == 0 || !break_is_ours(now))
		return false;
	start = (now + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	if (pages > (UINTPTR_MAX - start) / PAGE_BYTES)
		return false;
	want = start + pages * PAGE_BYTES;
	if (prim_break_set(want) != want)
		return false;
	tell(EVENT_SBRK, now, want, want - now);
	if (!heap->break_start)
		heap->break_start = start;
	heap->break_end = want;
	if (add_run(start, pages, true))
		return true;
	heap->break_end = now;
	if (prim_break_set(now) == now)
		tell(EVENT_SBRK, want, now, now - want);
	return false;
}

static bool grow_mapped(size_t pages)
{
	uintptr_t start = (uintptr_t)prim_map(pages * PAGE_BYTES);

	if (!start)
		return false;
	tell(EVENT_MMAP, start, pages * PAGE_BYTES,
	     (uint64_t)(PROT_READ | PROT_WRITE) << 32 | MAP_PRIVATE | MAP_ANONYMOUS);
	if (add_run(start, pages, false))
		return true;
	if (prim_unmap((void *)start, pages * PAGE_BYTES))
		tell(EVENT_MUNMAP, start, pages * PAGE_BYTES, 0);
	return false;
}

/*
 * The heap grows though it has free pages, only none that fit. As many touched ones are given back
 * as come in, so that the program's resident memory does not grow with them; what that costs is
 * bounded by the growth.
 */
static void make_up_for(size_t pages)
{
	struct page_heap *heap = &ht_page_heap;
	size_t dirty = heap->free_dirty_pages;

	if (dirty < MAKE_UP_LEAST || dirty < heap->system_pages / 16)
		return;
	ht_pages_purge_locked(dirty > pages ? dirty - pages : 0);
}

/* Gets pages from the system so that a run of `pages` exists. */
static bool grow_by(size_t pages)
{
	struct page_heap *heap = &ht_page_heap;
	size_t step = heap->system_pages / 4, need = pages;
	struct span *top;

	make_up_for(step > pages ? step : pages);
	if (!heap->break_foreign) {
		if (!heap->break_end) {
			if (grow_break(HEAP_FIRST_PAGES) && pages <= HEAP_FIRST_PAGES)
				return true;
		}
		top = heap->break_end ? ht_run_at(heap->break_end - PAGE_BYTES, true) : NULL;
		if (top && top->pages < need)
			need -= top->pages;
		if (step < GROW_LEAST)
			step = GROW_LEAST;
		if (step > GROW_MOST)
			step = GROW_MOST;
		if (step < need)
			step = need;
		if (grow_break(step) || (step > need && grow_break(need)))
			return true;
	}
	if (step < GROW_MAPPED_LEAST)
		step = GROW_MAPPED_LEAST;
	if (step > GROW_MOST)
		step = GROW_MOST;
	if (step < pages)
		step = pages;
	return grow_mapped(step) || (step > pages && grow_mapped(pages));
}

/* Giving back */

/* Lowers the break by the run at its end, keeping the first pages. Returns the pages given back. */
static size_t trim_break(struct span *run, size_t wanted)
{
	struct page_heap *heap = &ht_page_heap;
	uintptr_t keep = heap->break_start + HEAP_FIRST_PAGES * PAGE_BYTES, now = prim_break();
	uintptr_t end = run->start + run->pages * PAGE_BYTES, start = run->start;
	size_t pages, given;

	if (!break_is_ours(now) || end != heap->break_end)
		return 0;
	if (start < keep)
		start = keep;
	if (run_dirty(run) > wanted && start < run->start + (run->zero_from - wanted) * PAGE_BYTES)
		start = run->start + (run->zero_from - wanted) * PAGE_BYTES;
	if (start >= end)
		return 0;
	pages = (end - start) / PAGE_BYTES;
	if (prim_break_set(start) != start)
		return 0;
	tell(EVENT_SBRK, end, start, start - end);
	heap->break_end = start;
	heap->system_pages -= pages;
	ht_run_leave(run);
	given = run_dirty(run);
	run->pages -= pages;
	run->zero_from = least(run->zero_from, run->pages);
	run->dirty_from = least(run->dirty_from, run->pages);
	given -= run_dirty(run);
	if (run->pages)
		ht_run_enter(run);
	else
		ht_span_struct_free_locked(run);
	return given;
}

/* Gives a free run from mmap back, addresses and all. */
static bool unmap_run(struct span *run)
{
	uintptr_t start = run->start;
	size_t bytes = run->pages * PAGE_BYTES;

	if (!prim_unmap((void *)start, bytes))
		return false;
	tell(EVENT_MUNMAP, start, bytes, 0);
	ht_run_leave(run);
	ht_page_heap.system_pages -= run->pages;
	ht_span_struct_free_locked(run);
	return true;
}

/* Gives about `wanted` of a free run's touched pages back in whatever way fits. Returns how many. */
static size_t purge_run(struct span *run, size_t wanted)
{
	size_t given = run_dirty(run), bytes = run->pages * PAGE_BYTES;
	uintptr_t start = run->start;

	if (run->from_break && start + bytes == ht_page_heap.break_end) {
		size_t trimmed = trim_break(run, wanted);

		if (trimmed)
			return trimmed;
	}
	if (!run->from_break && run->pages >= UNMAP_LEAST && wanted >= given && unmap_run(run))
		return given;
	/* The last ones: the first are the next to be used. A few are not left behind: when the run
	 * grows by touched pages, all between would be taken for touched. */
	if (given / 2 > wanted)
		given = wanted;
	start += (run->zero_from - given) * PAGE_BYTES;
	bytes = given * PAGE_BYTES;
	if (!prim_purge((void *)start, bytes))
		return 0;
	tell(EVENT_MADVISE, start, bytes, MADV_DONTNEED);
	ht_run_bin_remove(run);
	run->zero_from -= given;
	ht_run_bin_add(run);
	return given;
}

size_t ht_pages_purge_locked(size_t keep_pages)
{
	size_t given = 0;

	for (unsigned bin = PAGE_BIN_COUNT; bin-- > 0;) {
		struct span *run = ht_page_heap.bins[bin];

		while (run && ht_page_heap.free_dirty_pages > keep_pages) {
			struct span *next = run->next;

			if (run_dirty(run))
				given += purge_run(run, ht_page_heap.free_dirty_pages - keep_pages);
			run = next;
		}
	}
	return given;
}

bool ht_pages_make_room_locked(void)
{
	struct page_heap *heap = &ht_page_heap;
	size_t before = heap->system_pages;
	struct span *top = NULL, *next;

	if (heap->break_end && !heap->break_foreign)
		top = ht_run_at(heap->break_end - PAGE_BYTES, true);
	if (top)
		trim_break(top, SIZE_MAX);
	for (unsigned bin = PAGE_BIN_COUNT; bin-- > ht_run_bin(ROOM_LEAST);)
		for (struct span *run = heap->bins[bin]; run; run = next) {
			next = run->next;
			if (!run->from_break)
				unmap_run(run);
		}
	return heap->system_pages < before;
}

static bool grow(size_t pages)
{
	return grow_by(pages) || (ht_pages_make_room_locked() && grow_by(pages));
}

/*
 * Ends an epoch when enough pages were freed in it. An epoch is short when most of the heap
 * is free, long otherwise. When half of the pages given back within a second are touched anew, they
 * were given back too eagerly: the epochs grow, and shrink again after a second without that.
 */
static void decay(size_t freed)
{
	struct page_heap *heap = &ht_page_heap;
	size_t epoch, most = heap->most_run_pages;
	uint64_t now_s;

	heap->epoch_pages += freed;
	if (heap->epoch_pages < EPOCH_LEAST)
		return;
	epoch = heap->free_dirty_pages > run_pages() / 4 * 3 ? most / 16 : most * 8;
	if (heap->epoch_pages >> heap->patience < epoch)
		return;
	now_s = prim_seconds();
	if (heap->given_pages && heap->retouched_pages * 2 > heap->given_pages) {
		if (heap->patience < PATIENCE_MOST)
			heap->patience += 2;
		heap->eager_s = now_s;
		heap->given_pages = heap->retouched_pages = 0;
	} else if (now_s > heap->eager_s + 1) {
		heap->patience = now_s > heap->epoch_began_s + 1 ? 0 : beyond(heap->patience, 1);
		heap->given_pages = heap->retouched_pages = 0;
	}
	if (heap->epoch_low > 0)
		heap->given_pages +=
			ht_pages_purge_locked(heap->free_dirty_pages - heap->epoch_low);
	heap->epoch_began_s = now_s;
	heap->epoch_pages = 0;
	heap->epoch_low = heap->free_dirty_pages;
}

/* Taking and giving */

/* Cuts [start, start + pages) out of a free run; the rest stays free. */
static struct span *cut(struct span *run, uintptr_t start, size_t pages)
{
	size_t before = (start - run->start) / PAGE_BYTES;
	size_t after = run->pages - before - pages, skipped = before + pages;
	size_t dirty_from = run->dirty_from, zero_from = run->zero_from;
	struct span *span = run, *rest = NULL, *tail = NULL;

	if (before && !(rest = ht_span_struct_locked()))
		return NULL;
	if (after && !(tail = ht_span_struct_locked())) {
		if (rest)
			ht_span_struct_free_locked(rest);
		return NULL;
	}
	ht_run_leave(run);
	if (rest) {
		rest->start = run->start;
		rest->pages = before;
		rest->zero_from = least(zero_from, before);
		rest->dirty_from = least(dirty_from, before);
		rest->from_break = run->from_break;
		ht_run_enter(rest);
	}
	if (tail) {
		tail->start = start + pages * PAGE_BYTES;
		tail->pages = after;
		tail->zero_from = beyond(zero_from, skipped);
		tail->dirty_from = beyond(dirty_from, skipped);
		tail->from_break = run->from_break;
		ht_run_enter(tail);
	}
	zero_from = dirty_from < skipped ? least(beyond(zero_from, before), pages) : 0;
	ht_page_heap.retouched_pages += pages - zero_from;
	if (ht_page_heap.free_dirty_pages < ht_page_heap.epoch_low)
		ht_page_heap.epoch_low = ht_page_heap.free_dirty_pages;
	*span = (struct span){
		.start = start,
		.pages = pages,
		.zero_from = zero_from,
		.from_break = run->from_break,
	};
	return span;
}

struct span *ht_pages_take_locked(size_t pages, size_t align_pages, bool may_grow)
{
	size_t need = pages + align_pages - 1, align_bytes = align_pages * PAGE_BYTES;
	struct span *run = ht_run_find(need), *span;
	uintptr_t start;

	if (!run) {
		if (!may_grow || !grow(need))
			return NULL;
		run = ht_run_find(need);
		if (!run)
			return NULL;
	}
	/* Touched pages first. */
	start = run->start;
	if (align_pages == 1 && run_dirty(run) >= pages)
		start += run->dirty_from * PAGE_BYTES;
	span = cut(run, (start + align_bytes - 1) & ~(align_bytes - 1), pages);
	if (span)
		ht_page_map_set(span->start, pages, span);
	return span;
}

void ht_pages_give_locked(struct span *span, bool keep_husk)
{
	size_t pages = span->pages;
	struct span *run = span;

	if (keep_husk) {
		run = ht_span_struct_locked();
		if (!run) /* no memory to note that there is memory: the pages stay lost */
			return;
		run->start = span->start;
		run->pages = pages;
		run->zero_from = span->zero_from;
		run->from_break = span->from_break;
		span->pages = 0;
	}
	ht_page_map_set(run->start, pages, NULL);
	ht_altered_forget_locked(span);
	ht_run_join(run);
	decay(pages);
}

bool ht_pages_extend_locked(struct span *span, size_t pages)
{
	uintptr_t end = span->start + span->pages * PAGE_BYTES;
	struct span *run = ht_run_at(end, span->from_break), *more;

	/* At the end of the break's heap, room can be made. */
	if (span->from_break && (!run || run->pages < pages) && !ht_page_heap.break_foreign &&
	    (run ? end + run->pages * PAGE_BYTES : end) == ht_page_heap.break_end) {
		size_t need = pages - (run ? run->pages : 0);
		size_t step = ht_page_heap.system_pages / 8;

		if (step > GROW_MOST)
			step = GROW_MOST;
		if (!grow_break(need > step ? need : step))
			return false;
		run = ht_run_at(end, true);
	}
	if (!run || run->pages < pages)
		return false;
	more = cut(run, end, pages);
	if (!more)
		return false;
	if (more->zero_from || span->zero_from == span->pages)
		span->zero_from = span->pages + more->zero_from;
	span->pages += pages;
	ht_page_map_set(end, pages, span);
	ht_span_struct_free_locked(more);
	return true;
}

void ht_pages_shrink_locked(struct span *span, size_t pages)
{
	size_t given = span->pages - pages;
	struct span *run = ht_span_struct_locked();

	if (!run)
		return;
	run->start = span->start + pages * PAGE_BYTES;
	run->pages = given;
	run->zero_from = span->zero_from > pages ? span->zero_from - pages : 0;
	run->from_break = span->from_break;
	span->pages = pages;
	if (span->zero_from > pages)
		span->zero_from = pages;
	ht_page_map_set(run->start, given, NULL);
	ht_run_join(run);
	decay(given);
}

/* The program's own break calls */

int ht_break_by_program(intptr_t value, bool absolute, uintptr_t *ret_old, uintptr_t *ret_new)
{
	uintptr_t old, want, now;
	bool ours, handler = ht_page_heap_held, locked = ht_page_heap_lock();

	if (unlikely(handler)) {
		*ret_old = *ret_new = prim_break();
		return -ENOMEM;
	}
	/* Closed: then nobody else moves the break either. */
	old = now = prim_break();
	want = absolute ? (uintptr_t)value : old + (uintptr_t)value;
	/* Pages of ours are not the program's to give away. What lies below them, the kernel will
	 * refuse, which has never been an error. */
	ours = want < ht_page_heap.break_end && want + PAGE_BYTES > ht_page_heap.break_start;
	if (want != old && !ours) {
		now = prim_break_set(want);
		if (now != old)
			ht_page_heap.break_foreign = true;
	}
	if (likely(locked))
		ht_page_heap_unlock();
	*ret_old = old;
	*ret_new = now;
	return now >= want && !ours ? 0 : -ENOMEM;
}
