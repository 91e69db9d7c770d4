/*
 * Address -> span: a two-level radix tree over 48-bit addresses. A leaf covers 1 GiB and is mapped
 * when the first page in its range is ours; of root and leaves only the pages in use are ever
 * touched. Reading needs no lock: an entry of a live block does not change.
 *
 * Root and leaves consist of parts, which can be written to only once something is to be entered
 * there: two megabytes for each would be much of a small RLIMIT_DATA.
 */
#ifndef HEAPTAPE_SHIM_PAGE_MAP_H
#define HEAPTAPE_SHIM_PAGE_MAP_H

#include "shim/types.h"

#define PAGE_MAP_LEAF_SHIFT 18
#define PAGE_MAP_ROOT_SHIFT (48 - PAGE_SHIFT - PAGE_MAP_LEAF_SHIFT)
#define PAGE_MAP_LEAF_COUNT ((size_t)1 << PAGE_MAP_LEAF_SHIFT)
#define PAGE_MAP_ROOT_COUNT ((size_t)1 << PAGE_MAP_ROOT_SHIFT)

extern struct span **ht_page_map[PAGE_MAP_ROOT_COUNT];

/* The span the address lies in, NULL when it is not ours. */
static inline struct span *span_of(const void *p)
{
	uintptr_t address = (uintptr_t)p;
	/* The shifts also drop bits above 48: a wild pointer cannot index beyond the root. */
	struct span **leaf = ht_page_map[address << 16 >> (16 + PAGE_SHIFT + PAGE_MAP_LEAF_SHIFT)];

	if (unlikely(!leaf))
		return NULL;
	return __atomic_load_n(&leaf[address >> PAGE_SHIFT & (PAGE_MAP_LEAF_COUNT - 1)],
			       __ATOMIC_RELAXED);
}

/* Makes the leaves for a range; false: no memory for them. Called before pages are used; locked, or by
 * a signal handler that interrupted who has the lock. */
bool ht_page_map_reserve(uintptr_t start, size_t pages);

/* Another thread may have been at that when the process was copied. */
void ht_page_map_fork_child(void);

/* Enters `span` (NULL: nothing) for the pages of a reserved range. */
void ht_page_map_set(uintptr_t start, size_t pages, struct span *span);

/* The span an address lies in, or the first one entered above it; NULL: there is none. Locked. */
struct span *ht_page_map_from(uintptr_t address);

/* Calls `visit` for every span in the map, by address, until it returns false. */
void ht_page_map_walk(bool (*visit)(struct span *span, void *context), void *context);

#endif
