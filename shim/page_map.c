#include "shim/page_map.h"

#include "shim/prim.h"

struct span **ht_page_map[PAGE_MAP_ROOT_COUNT];

static inline size_t root_index(uintptr_t page)
{
	return page >> PAGE_MAP_LEAF_SHIFT & (PAGE_MAP_ROOT_COUNT - 1);
}

bool ht_page_map_reserve(uintptr_t start, size_t pages)
{
	uintptr_t first = start >> PAGE_SHIFT, last = first + pages - 1;

	for (uintptr_t page = first >> PAGE_MAP_LEAF_SHIFT; page <= last >> PAGE_MAP_LEAF_SHIFT;
	     page++) {
		struct span ***slot = &ht_page_map[page & (PAGE_MAP_ROOT_COUNT - 1)];

		if (*slot)
			continue;
		struct span **leaf = prim_map(PAGE_MAP_LEAF_COUNT * sizeof(*leaf));

		if (!leaf)
			return false;
		__atomic_store_n(slot, leaf, __ATOMIC_RELEASE);
	}
	return true;
}

void ht_page_map_set(uintptr_t start, size_t pages, struct span *span)
{
	uintptr_t page = start >> PAGE_SHIFT;

	while (pages > 0) {
		struct span **leaf = ht_page_map[root_index(page)];
		size_t at = page & (PAGE_MAP_LEAF_COUNT - 1);
		size_t count = PAGE_MAP_LEAF_COUNT - at;

		if (count > pages)
			count = pages;
		for (size_t i = 0; i < count; i++)
			__atomic_store_n(&leaf[at + i], span, __ATOMIC_RELAXED);
		page += count;
		pages -= count;
	}
}

struct span *ht_page_map_from(uintptr_t address)
{
	uintptr_t page = address >> PAGE_SHIFT;
	size_t at = page & (PAGE_MAP_LEAF_COUNT - 1);

	for (size_t root = page >> PAGE_MAP_LEAF_SHIFT; root < PAGE_MAP_ROOT_COUNT;
	     root++, at = 0) {
		struct span **leaf = ht_page_map[root];

		for (; leaf && at < PAGE_MAP_LEAF_COUNT; at++)
			if (leaf[at])
				return leaf[at];
	}
	return NULL;
}

void ht_page_map_walk(bool (*visit)(struct span *span, void *context), void *context)
{
	for (size_t root = 0; root < PAGE_MAP_ROOT_COUNT; root++) {
		struct span **leaf = __atomic_load_n(&ht_page_map[root], __ATOMIC_ACQUIRE);

		for (size_t at = 0; leaf && at < PAGE_MAP_LEAF_COUNT; at++) {
			struct span *span = __atomic_load_n(&leaf[at], __ATOMIC_RELAXED);
			uintptr_t address = (root << PAGE_MAP_LEAF_SHIFT | at) << PAGE_SHIFT;

			/* A span that began in the leaf before was visited there. */
			if (span && span->start == address && !visit(span, context))
				return;
		}
	}
}
