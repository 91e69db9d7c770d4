#include "shim/emergency.h"

#include <sys/mman.h>

#include "shim/page_heap.h"
#include "shim/page_map.h"
#include "shim/record.h"

/* A spare mapping has at most so many. */
#define SPARE_MOST_PAGES ((size_t)1024)
#define SPARE_SHORT_PAGES ((size_t)16)

/* Ones that were freed while the lock was held, a short and a longer one, for the next to be had without
 * page faults: handlers may come again and again before whoever has the lock gets on. Not in the page
 * map. */
static struct span *spares[2];

static struct span **spare_for(size_t pages)
{
	return &spares[pages > SPARE_SHORT_PAGES];
}

static void tell(unsigned kind, const struct span *span, uint64_t second)
{
	uint64_t details[2] = { span->pages * PAGE_BYTES, second };

	if (unlikely(ht_recording()))
		ht_record_pages(kind | EVENT_BY_ALLOCATOR, span->start, details);
}

bool ht_emergency_keep(struct span *span)
{
	struct span **spare = spare_for(span->pages), *none = NULL;

	if (span->pages > SPARE_MOST_PAGES || __atomic_load_n(spare, __ATOMIC_RELAXED))
		return false;
	tell(EVENT_UNSPAN, span, span->block_bytes);
	ht_page_map_set(span->start, 1, NULL);
	if (__atomic_compare_exchange_n(spare, &none, span, false, __ATOMIC_RELEASE,
					__ATOMIC_RELAXED))
		return true;
	ht_page_map_set(span->start, 1, span);
	tell(EVENT_SPAN, span, span->block_bytes);
	return false;
}

static struct span *take_spare(size_t pages, size_t align_bytes)
{
	struct span **spare = spare_for(pages), *span, *none = NULL;

	if (!__atomic_load_n(spare, __ATOMIC_RELAXED))
		return NULL;
	span = __atomic_exchange_n(spare, NULL, __ATOMIC_ACQUIRE);
	if (!span)
		return NULL;
	if (span->pages >= pages && span->start % align_bytes == 0) {
		span->zero_from = span->pages;
		span->emptied = false;
		ht_page_map_set(span->start, 1, span);
		return span;
	}
	/* Lost, should there be another one by now. */
	__atomic_compare_exchange_n(spare, &none, span, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	return NULL;
}

struct span *ht_emergency_take(size_t pages, size_t align_pages)
{
	size_t align_bytes = align_pages * PAGE_BYTES, mapped = (pages + align_pages) * PAGE_BYTES;
	uintptr_t base, start, end;
	struct span *span;

	if (pages > (SIZE_MAX >> PAGE_SHIFT) / 4 || align_pages > (SIZE_MAX >> PAGE_SHIFT) / 4)
		return NULL;
	span = take_spare(pages, align_bytes);
	if (span)
		return span;
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
	tell(EVENT_MMAP, span,
	     (uint64_t)(PROT_READ | PROT_WRITE) << 32 | MAP_PRIVATE | MAP_ANONYMOUS);
	return span;
}

void ht_emergency_give(struct span *span)
{
	size_t bytes = (span->pages + 1) * PAGE_BYTES;

	ht_page_heap_lock();
	ht_page_map_set(span->start, 1, NULL);
	tell(EVENT_MUNMAP, span, 0);
	ht_page_heap_unlock();
	if (!prim_unmap(span, bytes))
		prim_purge(span, bytes);
}
