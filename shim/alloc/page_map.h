/*
 * Address -> span: a table of leaves, each for 128 MiB of addresses and mapped when the first page in
 * its range is ours. The root is small, so leaves 1 TiB apart share an entry; it says which of them it
 * is for. The others, which only a program has whose heap is scattered, are found in the list of all.
 * Reading needs no lock: an entry of a live block does not change, and leaves stay.
 */
#ifndef HEAPTAPE_SHIM_ALLOC_PAGE_MAP_H
#define HEAPTAPE_SHIM_ALLOC_PAGE_MAP_H

#include "shim/alloc/types.h"

#define PAGE_MAP_LEAF_SHIFT 15
#define PAGE_MAP_ROOT_SHIFT 13
#define PAGE_MAP_LEAF_COUNT ((size_t)1 << PAGE_MAP_LEAF_SHIFT)
#define PAGE_MAP_ROOT_COUNT ((size_t)1 << PAGE_MAP_ROOT_SHIFT)
#define PAGE_MAP_REGION_SHIFT (PAGE_SHIFT + PAGE_MAP_LEAF_SHIFT + PAGE_MAP_ROOT_SHIFT)

struct page_map_entry {
	struct span **leaf;
	uintptr_t region; /* the leaf's, + 1; 0: there is none */
};

extern struct page_map_entry ht_page_map[PAGE_MAP_ROOT_COUNT] HT_HIDDEN;

/* The same for a leaf that is not in the root, if there is such a one. */
struct span *ht_page_map_other(uintptr_t address);

/* The span the address lies in, NULL when it is not ours. A wild pointer's region is none of ours. */
static inline struct span *span_of(const void *p)
{
	uintptr_t address = (uintptr_t)p, page = address >> PAGE_SHIFT;
	const struct page_map_entry *entry =
		&ht_page_map[page >> PAGE_MAP_LEAF_SHIFT & (PAGE_MAP_ROOT_COUNT - 1)];

	if (unlikely(__atomic_load_n(&entry->region, __ATOMIC_RELAXED) !=
		     (address >> PAGE_MAP_REGION_SHIFT) + 1))
		return ht_page_map_other(address);
	return __atomic_load_n(&entry->leaf[page & (PAGE_MAP_LEAF_COUNT - 1)], __ATOMIC_RELAXED);
}

/* The span that a stand-in is there for. */
static inline struct span *span_behind(struct span *span)
{
	return span && span->state == SPAN_STAND_IN ? span->next : span;
}

/* Makes the leaves for a range; false: no memory for them. Called before pages are used; locked, or by
 * a signal handler that interrupted who has the lock. */
bool ht_page_map_reserve(uintptr_t start, size_t pages);

/* Enters `span` (NULL: nothing) for the pages of a reserved range. */
void ht_page_map_set(uintptr_t start, size_t pages, struct span *span);

/* The span an address lies in, or the first one entered above it and below `end`; NULL: there is
 * none. Locked, or only to learn that there is none. */
struct span *ht_page_map_next(uintptr_t address, uintptr_t end);

/* Calls `visit` for every span in the map, by address, until it returns false. */
void ht_page_map_walk(bool (*visit)(struct span *span, void *context), void *context);

#endif
