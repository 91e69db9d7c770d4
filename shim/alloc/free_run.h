/*
 * Free runs of pages: bins by length, and in the page map the first and the last page of each. All of it
 * under the page heap's lock.
 */
#ifndef HEAPTAPE_SHIM_ALLOC_FREE_RUN_H
#define HEAPTAPE_SHIM_ALLOC_FREE_RUN_H

#include "shim/alloc/page_heap.h"

/* The bin in which runs of so many pages lie. */
unsigned ht_run_bin(size_t pages);

/* A free run's touched pages, as far as is known: those of two runs that are joined are taken for
 * one piece with all that lies between. */
static inline size_t run_dirty(const struct span *run)
{
	return run->zero_from - run->dirty_from;
}

/* One of at least so many pages, among the shortest of them; NULL: there is none. */
struct span *ht_run_find(size_t pages);

/* The free run that begins or ends at the page of an address; NULL: there is none of that origin. */
struct span *ht_run_at(uintptr_t address, bool from_break);

/* Enters a free run, and takes it out. */
void ht_run_enter(struct span *run);
void ht_run_leave(struct span *run);

/* In its bin only, for a moment: the pages are about to be joined, or to change. */
void ht_run_bin_add(struct span *run);
void ht_run_bin_remove(struct span *run);

/* Makes a run free, joined with its free neighbours. Its pages must not be in the map. */
struct span *ht_run_join(struct span *run);

#endif
