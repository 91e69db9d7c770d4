#include "shim/alloc/huge.h"

#include <string.h>
#include <sys/mman.h>

#include "shim/alloc/altered.h"
#include "shim/alloc/page_heap.h"
#include "shim/alloc/page_map.h"
#include "shim/alloc/watch.h"
#include "shim/control.h"
#include "shim/prim.h"

/* The kernel moves the pages of so many bytes at once when old and new place lie alike in them. */
#define TABLE_BYTES ((size_t)2 << 20)

/* More than there are addresses: nothing makes room for it. */
#define ADDRESS_MOST ((size_t)1 << 47)

static uintptr_t map_huge(size_t bytes)
{
	uintptr_t start = (uintptr_t)prim_map(bytes);
	bool again;

	if (start || bytes > ADDRESS_MOST || !ht_page_heap_lock())
		return start;
	again = ht_pages_make_room_locked();
	ht_page_heap_unlock();
	return again ? (uintptr_t)prim_map(bytes) : 0;
}

/* Of a mapping at `base`, keeps `bytes` bytes from `start` on. */
static void keep(uintptr_t base, size_t mapped, uintptr_t start, size_t bytes)
{
	if (start > base)
		prim_unmap((void *)base, start - base);
	if (base + mapped > start + bytes)
		prim_unmap((void *)(start + bytes), base + mapped - start - bytes);
}

/* Addresses that lie in page tables as those at `like` do, with free ones behind them; 0: none. */
static uintptr_t reserve_like(uintptr_t like, size_t bytes, size_t behind)
{
	size_t mapped = bytes + behind + TABLE_BYTES;
	uintptr_t base = (uintptr_t)prim_reserve(mapped), start;

	if (!base)
		return 0;
	start = base + ((like - base) & (TABLE_BYTES - 1));
	keep(base, mapped, start, bytes);
	return start;
}

/* Pages, and blocks, come or go. Locked. */
static void count(size_t old_pages, size_t pages, size_t blocks)
{
	struct page_heap *heap = &ht_page_heap;

	heap->huge_bytes += (pages - old_pages) * PAGE_BYTES;
	heap->huge_blocks += blocks;
	if (heap->huge_bytes > heap->most_huge_bytes)
		heap->most_huge_bytes = heap->huge_bytes;
	if (heap->huge_blocks > heap->most_huge_blocks)
		heap->most_huge_blocks = heap->huge_blocks;
	heap->system_pages -= old_pages;
	ht_pages_count_locked(pages);
}

/* A mapping's span; NULL: no memory for it, or the page heap is closed, and the mapping is gone. */
static struct span *enter(uintptr_t start, size_t pages)
{
	uint64_t details[2] = { pages * PAGE_BYTES, (uint64_t)(PROT_READ | PROT_WRITE) << 32 |
							    MAP_PRIVATE | MAP_ANONYMOUS };
	struct span *span = NULL;
	bool locked = ht_page_heap_lock();

	if (likely(locked) && ht_page_map_reserve(start, 1))
		span = ht_span_struct_locked();
	if (span) {
		span_list_add_first(&ht_page_heap.huge, span);
		span->start = start;
		span->pages = pages;
		span->state = SPAN_HUGE;
		ht_page_map_set(start, 1, span);
		count(0, pages, 1);
		if (unlikely(ht_recording()))
			ht_watch_pages(EVENT_MMAP | EVENT_BY_ALLOCATOR, start, details);
	}
	if (likely(locked))
		ht_page_heap_unlock();
	if (!span)
		prim_unmap((void *)start, pages * PAGE_BYTES);
	return span;
}

struct span *ht_huge_take(size_t pages, size_t align_pages)
{
	size_t extra = align_pages > 1 ? align_pages : 0, align_bytes = align_pages * PAGE_BYTES;
	size_t mapped = (pages + extra) * PAGE_BYTES;
	uintptr_t base, start;

	if (pages > (SIZE_MAX >> PAGE_SHIFT) / 4 || extra > (SIZE_MAX >> PAGE_SHIFT) / 4)
		return NULL;
	base = map_huge(mapped);
	if (!base)
		return NULL;
	start = (base + align_bytes - 1) & ~(align_bytes - 1);
	keep(base, mapped, start, pages * PAGE_BYTES);
	return enter(start, pages);
}

struct span *ht_huge_take_grown(size_t pages, uintptr_t old)
{
	size_t bytes = pages * PAGE_BYTES;
	uintptr_t start;

	if (bytes > ADDRESS_MOST)
		return NULL;
	start = reserve_like(old, bytes, bytes);
	if (!start)
		return ht_huge_take(pages, 1);
	if (!prim_make_writable((void *)start, bytes)) {
		prim_unmap((void *)start, bytes);
		return NULL;
	}
	return enter(start, pages);
}

void ht_huge_tell_end_locked(const struct span *span)
{
	size_t bytes = span->pages * PAGE_BYTES;

	if (likely(!ht_recording()))
		return;
	ht_watch_pages(EVENT_UNSPAN | EVENT_BY_ALLOCATOR, span->start,
		       (uint64_t[2]){ bytes, span->block_bytes });
	ht_watch_pages(EVENT_MUNMAP | EVENT_BY_ALLOCATOR, span->start, (uint64_t[2]){ bytes, 0 });
}

void ht_huge_leave_locked(struct span *span)
{
	/* What the program unmapped may be another span's by now. */
	if (span_behind(span_of((void *)span->start)) == span)
		ht_page_map_set(span->start, 1, NULL);
	ht_altered_forget_locked(span);
	span_list_remove(&ht_page_heap.huge, span);
	count(span->pages, 0, (size_t)-1);
	ht_span_struct_free_locked(span);
}

bool ht_huge_give(struct span *span)
{
	uintptr_t start = span->start;
	size_t bytes = span->pages * PAGE_BYTES;

	if (unlikely(!ht_page_heap_lock()))
		return false;
	ht_huge_tell_end_locked(span);
	ht_huge_leave_locked(span);
	ht_page_heap_unlock();
	/* After the address has left the map: whoever gets it next finds nothing there. */
	if (!prim_unmap((void *)start, bytes))
		prim_purge((void *)start, bytes);
	return true;
}

bool ht_huge_resize(struct span *span, size_t pages)
{
	size_t old = span->pages;
	uint64_t details[3] = { pages * PAGE_BYTES, span->start, old * PAGE_BYTES };

	/* Locked until it is recorded: whoever gets the pages that go is later in the record. */
	if (unlikely(!ht_page_heap_lock()))
		return false;
	if (!prim_resize((void *)span->start, old * PAGE_BYTES, pages * PAGE_BYTES)) {
		ht_page_heap_unlock();
		return false;
	}
	span->pages = pages;
	count(old, pages, 0);
	if (unlikely(ht_recording()))
		ht_watch_pages(EVENT_MREMAP | EVENT_BY_ALLOCATOR, span->start, details);
	ht_page_heap_unlock();
	return true;
}

/*
 * In two steps, because one that leaves the old mapping in place cannot also make it longer; and the
 * block must be one mapping, or the kernel will not resize it the next time.
 */
bool ht_huge_fill(struct span *span, void *from, size_t bytes)
{
	void *between = (void *)reserve_like((uintptr_t)from, bytes, 0);

	if (!between) /* addresses are short: then it is two mappings */
		return prim_move_out(from, (void *)span->start, bytes);
	if (!prim_move_out(from, between, bytes)) {
		prim_unmap(between, bytes);
		return false;
	}
	if (!prim_move(between, bytes, (void *)span->start, span->pages * PAGE_BYTES)) {
		prim_make_writable((void *)span->start, span->pages * PAGE_BYTES);
		memcpy((void *)span->start, between, bytes);
		prim_unmap(between, bytes);
	}
	return true;
}
