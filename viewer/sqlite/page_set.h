/*
 * Which pages the allocator holds, and for what, while events are replayed: runs of pages, in order
 * of their address, that never overlap.
 */
#ifndef HEAPTAPE_VIEWER_SQLITE_PAGE_SET_H
#define HEAPTAPE_VIEWER_SQLITE_PAGE_SET_H

#include <stddef.h>
#include <stdint.h>

enum page_use {
	PAGES_GONE,	/* not held: no run has this use */
	PAGES_FREE,	/* held, for nothing at the moment */
	PAGES_RELEASED, /* free, and their memory given back (madvise) */
	PAGES_SPAN	/* dedicated to blocks of one size */
};

struct page_run {
	uint64_t start, end;
	uint64_t span_address, span_bytes, block_bytes; /* PAGES_SPAN */
	enum page_use use;
};

struct page_set {
	struct page_run *runs;
	size_t count, capacity;
};

/* From now on the pages of `run` are used as it says. 0 or -ENOMEM. */
int page_set_assign(struct page_set *set, const struct page_run *run);

/* As page_set_assign, but only where the pages are used as `from` now. */
int page_set_change(struct page_set *set, enum page_use from, const struct page_run *run);

/* The run that holds `address`; NULL: not held. */
struct page_run *page_set_find(const struct page_set *set, uint64_t address);

void page_set_clear(struct page_set *set);

#endif
