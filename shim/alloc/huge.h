/*
 * Huge blocks: each has a mapping of its own, of which the page map knows the first page only.
 *
 * One that grows is resized where it is while the addresses behind it are free. Else it is moved to
 * a place with as many free addresses behind it as it has itself, so that whatever the steps, a block
 * moves a few times in all. The pages are moved, not copied: whole page tables at a time, as both
 * places lie alike within TABLE_BYTES. The old mapping stays, empty, until the block is released:
 * its addresses cannot be had by anybody else before the move is recorded.
 *
 * Nothing is reserved behind a block: it would count against RLIMIT_AS.
 */
#ifndef HEAPTAPE_SHIM_ALLOC_HUGE_H
#define HEAPTAPE_SHIM_ALLOC_HUGE_H

#include "shim/alloc/types.h"

/* Blocks from here on are huge. */
#define HUGE_LEAST_PAGES ((size_t)8192)

/* A block of exactly `pages` pages aligned as asked. NULL: no memory, or the page heap is closed. The
 * functions here take its lock themselves. */
struct span *ht_huge_take(size_t pages, size_t align_pages);

/* The same for a block at `old` to be moved to, which grows. */
struct span *ht_huge_take_grown(size_t pages, uintptr_t old);

/* False: the page heap is closed, nothing was changed. */
bool ht_huge_give(struct span *span);

/* The two halves of that, locked: tells that the block's pages go, and forgets it. In between they do. */
void ht_huge_tell_end_locked(const struct span *span);
void ht_huge_leave_locked(struct span *span);

/* Grows or shrinks the block where it is. False: that cannot be done, nothing was changed. */
bool ht_huge_resize(struct span *span, size_t pages);

/* Moves whole pages from elsewhere to the block's start. `from` reads as zero afterwards. False:
 * nothing was changed. */
bool ht_huge_fill(struct span *span, void *from, size_t bytes);

#endif
