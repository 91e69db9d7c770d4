/*
 * Blocks for those that the page heap is closed to: signal handlers that interrupted their own thread
 * there, and all threads while another one is in fork. Each has a mapping of its own, its span in a
 * page before it, and is no part of the page heap's books.
 */
#ifndef HEAPTAPE_SHIM_ALLOC_EMERGENCY_H
#define HEAPTAPE_SHIM_ALLOC_EMERGENCY_H

#include "shim/alloc/types.h"

/* A huge span of at least so many pages; NULL: no memory. */
struct span *ht_emergency_take(size_t pages, size_t align_pages);

/* Gives it back; false: the page heap is closed. */
bool ht_emergency_give(struct span *span);

/* Keeps it for the next one, then; false: it must be given back later, and takes little until then. */
bool ht_emergency_keep(struct span *span);

/* Gives back those that are kept. Locked. */
void ht_emergency_trim(void);

#endif
