/*
 * Pages under live blocks that the program itself maps over, unmaps or protects. Once such a block
 * is freed, its pages must be the allocator's again before they are written to or handed out: what
 * the program put there may be a file, seen at two places, or not be accessible at all.
 *
 * The fast paths of free know nothing of this. While a block has such pages, the page map names a
 * stand-in for its span, of which no pointer is a block's start. So free comes by ht_block_checked(),
 * which has the block settled: fresh pages are mapped where the program changed something. Pages
 * that the program unmapped may be somebody else's by then, and are only mapped again where nothing
 * is; a block for which that fails is never used again.
 */
#ifndef HEAPTAPE_SHIM_ALLOC_ALTERED_H
#define HEAPTAPE_SHIM_ALLOC_ALTERED_H

#include "shim/alloc/types.h"

/* What the program did to a page, as bits. */
enum {
	ALTERED_MAPPED = 1, /* mapped something else there */
	ALTERED_GONE = 2,   /* unmapped it, or moved it away */
	ALTERED_BARRED = 4, /* made it impossible to read or write */
	ALTERED_FORK = 8    /* keeps it from forked children, or empties it there */
};

/* The program does so to the pages of [start, start + bytes), about which it needs not ask whose
 * they are; a call that takes pages away comes after this. ht_pages_restored(): not any more. */
void ht_pages_altered(uintptr_t start, size_t bytes, unsigned how);
void ht_pages_restored(uintptr_t start, size_t bytes, unsigned how);

/*
 * The span of a block for which the page map names a stand-in, after the block's pages were made
 * ordinary ones: empty, for free; with their contents, for realloc; or not, to look at the span.
 * NULL: they cannot be.
 */
enum settle_for { SETTLE_EMPTY, SETTLE_KEEP, SETTLE_NOT };
struct span *ht_altered_settle(const void *block, enum settle_for purpose);

/*
 * The block is freed and cannot be settled: where its pages were there is something else by now. It is never
 * used again. What is left of a huge block's pages is unmapped; the rest is not the allocator's any more.
 */
void ht_altered_lose(const void *block);

/* The span is given back. Locked. */
void ht_altered_forget_locked(struct span *span);

/* Pages were unmapped by the program: the page map may still name their old spans. */
extern bool ht_altered_gone;

#endif
