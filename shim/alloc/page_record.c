/* Memory for the allocator's own records, never given back; span structs are cut from it. */
#include <string.h>

#include "shim/alloc/page_heap.h"

/* The first records come from here, so that a small program needs no mapping for them. */
#define FIRST_RECORD_BYTES ((size_t)32768)
#define MORE_RECORD_BYTES ((size_t)262144)

static char first_records[FIRST_RECORD_BYTES] __attribute__((aligned(64)));

void *ht_records_locked(size_t bytes)
{
	struct page_heap *heap = &ht_page_heap;
	void *record;

	bytes = (bytes + 63) & ~(size_t)63;
	if (heap->record_left < bytes) {
		size_t more = MORE_RECORD_BYTES;
		char *start = first_records;

		if (heap->record_bytes == 0)
			more = sizeof(first_records);
		else
			start = prim_map(more);
		if (!start || bytes > more)
			return NULL;
		heap->record_next = start;
		heap->record_left = more;
		heap->record_bytes += more;
	}
	record = heap->record_next;
	heap->record_next += bytes;
	heap->record_left -= bytes;
	return record;
}

struct span *ht_span_struct_locked(void)
{
	struct span *span = ht_page_heap.span_structs;

	if (!span)
		return ht_records_locked(sizeof(*span));
	ht_page_heap.span_structs = span->next;
	memset(span, 0, sizeof(*span));
	return span;
}

void ht_span_struct_free_locked(struct span *span)
{
	span->state = SPAN_HUSK;
	span->reciprocal = 0;
	span->fast_owner = NULL;
	span->owner = NULL;
	span->next = ht_page_heap.span_structs;
	ht_page_heap.span_structs = span;
}
