#include "shim/alloc/emergency.h"

#include <sys/mman.h>

#include "shim/alloc/page_heap.h"
#include "shim/alloc/page_map.h"
#include "shim/alloc/watch.h"
#include "shim/control.h"

/* Ones that were freed while the page heap was closed, for the next to be had without page faults: it
 * may be closed for as long as some stream is locked. By their size, a power of two; not in the page
 * map. */
#define SPARE_MOST_PAGES ((size_t)1024)
#define SPARE_SIZES 11
#define SPARES_EACH 4

static struct span *spares[SPARE_SIZES][SPARES_EACH];

static struct span **spares_for(size_t pages)
{
	return spares[pages > 1 ? 64 - __builtin_clzl(pages - 1) : 0];
}

static void tell(unsigned kind, const struct span *span, uint64_t second)
{
	uint64_t details[2] = { span->pages * PAGE_BYTES, second };

	if (unlikely(ht_recording()))
		ht_watch_pages(kind | EVENT_BY_ALLOCATOR, span->start, details);
}

/* Its contents go, but for the first page, which says that nobody has it. */
static void empty(struct span *span)
{
	if (span->pages > 1)
		prim_purge((void *)(span->start + PAGE_BYTES), (span->pages - 1) * PAGE_BYTES);
}

static bool put_spare(struct span *span)
{
	struct span **place = spares_for(span->pages);

	for (unsigned i = 0; i < SPARES_EACH; i++) {
		struct span *none = NULL;

		if (!__atomic_load_n(&place[i], __ATOMIC_RELAXED) &&
		    __atomic_compare_exchange_n(&place[i], &none, span, false, __ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			return true;
	}
	return false;
}

bool ht_emergency_keep(struct span *span)
{
	if (span->pages > SPARE_MOST_PAGES) {
		empty(span);
		return false;
	}
	tell(EVENT_UNSPAN, span, span->block_bytes);
	ht_page_map_set(span->start, 1, NULL);
	if (put_spare(span))
		return true;
	ht_page_map_set(span->start, 1, span);
	tell(EVENT_SPAN, span, span->block_bytes);
	empty(span);
	return false;
}

static struct span *take_spare(size_t pages, size_t align_bytes)
{
	struct span **place = spares_for(pages), *span;

	for (unsigned i = 0; i < SPARES_EACH; i++) {
		if (!__atomic_load_n(&place[i], __ATOMIC_RELAXED))
			continue;
		span = __atomic_exchange_n(&place[i], NULL, __ATOMIC_ACQUIRE);
		if (span && span->start % align_bytes == 0) {
			span->zero_from = span->pages;
			span->emptied = false;
			ht_page_map_set(span->start, 1, span);
			return span;
		}
		if (span && !put_spare(span)) /* then it is lost */
			empty(span);
	}
	return NULL;
}

static void unmap(struct span *span)
{
	size_t bytes = (span->pages + 1) * PAGE_BYTES;

	__atomic_fetch_sub(&ht_page_heap.alone_pages, span->pages, __ATOMIC_RELAXED);
	tell(EVENT_MUNMAP, span, 0);
	if (!prim_unmap(span, bytes))
		prim_purge(span, bytes);
}

void ht_emergency_trim(void)
{
	for (size_t i = 0; i < SPARE_SIZES * SPARES_EACH; i++) {
		struct span **place = &spares[i / SPARES_EACH][i % SPARES_EACH];

		if (__atomic_load_n(place, __ATOMIC_RELAXED)) {
			struct span *span = __atomic_exchange_n(place, NULL, __ATOMIC_ACQUIRE);

			if (span)
				unmap(span);
		}
	}
}

struct span *ht_emergency_take(size_t pages, size_t align_pages)
{
	size_t align_bytes = align_pages * PAGE_BYTES, mapped;
	uintptr_t base, start, end;
	struct span *span;

	if (pages > (SIZE_MAX >> PAGE_SHIFT) / 4 || align_pages > (SIZE_MAX >> PAGE_SHIFT) / 4)
		return NULL;
	if (pages <= SPARE_MOST_PAGES) {
		span = take_spare(pages, align_bytes);
		if (span)
			return span;
		pages = pages > 1 ? (size_t)1 << (64 - __builtin_clzl(pages - 1)) : 1;
	}
	mapped = (pages + align_pages) * PAGE_BYTES;
	base = (uintptr_t)prim_map(mapped);
	if (!base)
		return NULL;
	start = (base + PAGE_BYTES + align_bytes - 1) & ~(align_bytes - 1);
	end = start + pages * PAGE_BYTES;
	if (start - PAGE_BYTES > base)
		prim_unmap((void *)base, start - PAGE_BYTES - base);
	if (base + mapped > end)
		prim_unmap((void *)end, base + mapped - end);
	if (!ht_page_map_reserve(start, 1)) {
		prim_unmap((void *)(start - PAGE_BYTES), end - start + PAGE_BYTES);
		return NULL;
	}
	span = (struct span *)(start - PAGE_BYTES);
	span->start = start;
	span->pages = pages;
	span->state = SPAN_HUGE;
	span->alone = true;
	ht_page_map_set(start, 1, span);
	__atomic_fetch_add(&ht_page_heap.alone_pages, pages, __ATOMIC_RELAXED);
	tell(EVENT_MMAP, span,
	     (uint64_t)(PROT_READ | PROT_WRITE) << 32 | MAP_PRIVATE | MAP_ANONYMOUS);
	return span;
}

bool ht_emergency_give(struct span *span)
{
	if (unlikely(!ht_page_heap_lock()))
		return false;
	tell(EVENT_UNSPAN, span, span->block_bytes);
	ht_page_map_set(span->start, 1, NULL);
	unmap(span);
	ht_page_heap_unlock();
	return true;
}
