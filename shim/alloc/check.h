/*
 * The invariants of shim/alloc/types.h, checked. A broken one is named on stderr, then abort.
 */
#ifndef HEAPTAPE_SHIM_ALLOC_CHECK_H
#define HEAPTAPE_SHIM_ALLOC_CHECK_H

#include "shim/alloc/types.h"

void ht_check_span(const struct span *span);
void ht_check_heap(const struct heap *heap);
void ht_check_page_heap(void);

/* In debug builds: checks the calling thread's heap now and then, the page heap less often. */
#if HT_DEBUG
void ht_check_sometimes(const struct heap *heap);
#else
static inline void ht_check_sometimes(const struct heap *heap)
{
	(void)heap;
}
#endif

#endif
