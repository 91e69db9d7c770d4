/*
 * Blocks for signal handlers that interrupted the page heap: its lock is held by what they
 * interrupted, so they cannot have its pages. Each has a mapping of its own, its span in a page before
 * it, and is no part of the page heap's books.
 */
#ifndef HEAPTAPE_SHIM_EMERGENCY_H
#define HEAPTAPE_SHIM_EMERGENCY_H

#include "shim/types.h"

/* A huge span of at least so many pages; NULL: no memory. */
struct span *ht_emergency_take(size_t pages, size_t align_pages);

/* Gives it back while the lock is held; false: that must wait. */
bool ht_emergency_keep(struct span *span);

/* The same when it is not; takes it. */
void ht_emergency_give(struct span *span);

#endif
