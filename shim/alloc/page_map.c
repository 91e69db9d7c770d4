#include "shim/alloc/page_map.h"

#include "shim/prim.h"

struct leaf {
	struct span *spans[PAGE_MAP_LEAF_COUNT]; /* first: what the root names */
	uintptr_t first_page;
	struct leaf *next; /* by address */
};

struct page_map_entry ht_page_map[PAGE_MAP_ROOT_COUNT];

static struct leaf *leaves; /* all, by address; leaves are only ever added */

static struct leaf *leaf_next(struct leaf **place)
{
	return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

static uintptr_t first_page_of(uintptr_t page)
{
	return page & ~(uintptr_t)(PAGE_MAP_LEAF_COUNT - 1);
}

/* Where the list names the first leaf that ends behind the page. */
static struct leaf **place_of(uintptr_t page)
{
	struct leaf **place = &leaves, *leaf;

	while ((leaf = leaf_next(place)) && leaf->first_page + PAGE_MAP_LEAF_COUNT <= page)
		place = &leaf->next;
	return place;
}

static struct leaf *in_list(uintptr_t page)
{
	struct leaf *leaf = leaf_next(place_of(page));

	return leaf && leaf->first_page <= page ? leaf : NULL;
}

static struct leaf *leaf_of(uintptr_t page)
{
	size_t root = page >> PAGE_MAP_LEAF_SHIFT;
	const struct page_map_entry *entry = &ht_page_map[root & (PAGE_MAP_ROOT_COUNT - 1)];

	if (likely(__atomic_load_n(&entry->region, __ATOMIC_ACQUIRE) ==
		   (root >> PAGE_MAP_ROOT_SHIFT) + 1))
		return (struct leaf *)(void *)entry->leaf;
	return in_list(page);
}

struct span *ht_page_map_other(uintptr_t address)
{
	uintptr_t page = address >> PAGE_SHIFT;
	struct leaf *leaf = in_list(page);

	if (!leaf)
		return NULL;
	return __atomic_load_n(&leaf->spans[page - leaf->first_page], __ATOMIC_RELAXED);
}

/* Enters a leaf in the list, unless a handler that interrupted us, or another thread's, was first:
 * shim/alloc/emergency.h. Returns the one that is there. */
static struct leaf *enter_in_list(struct leaf *leaf)
{
	for (;;) {
		struct leaf **place = place_of(leaf->first_page);

		leaf->next = leaf_next(place);
		if (leaf->next && leaf->next->first_page == leaf->first_page)
			return leaf->next;
		if (__atomic_compare_exchange_n(place, &leaf->next, leaf, false, __ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			return leaf;
	}
}

static void enter_in_root(struct leaf *leaf)
{
	size_t root = leaf->first_page >> PAGE_MAP_LEAF_SHIFT;
	struct page_map_entry *entry = &ht_page_map[root & (PAGE_MAP_ROOT_COUNT - 1)];
	struct span **none = NULL;

	if (__atomic_compare_exchange_n(&entry->leaf, &none, leaf->spans, false, __ATOMIC_RELEASE,
					__ATOMIC_RELAXED))
		__atomic_store_n(&entry->region, (root >> PAGE_MAP_ROOT_SHIFT) + 1,
				 __ATOMIC_RELEASE);
}

/* False: no memory. */
static bool make_leaf(uintptr_t page)
{
	struct leaf *leaf = prim_map(sizeof(*leaf)), *entered;

	if (!leaf)
		return false;
	leaf->first_page = first_page_of(page);
	entered = enter_in_list(leaf);
	if (entered != leaf)
		prim_unmap(leaf, sizeof(*leaf));
	enter_in_root(entered);
	return true;
}

bool ht_page_map_reserve(uintptr_t start, size_t pages)
{
	uintptr_t page = start >> PAGE_SHIFT, end = page + pages;

	for (; page < end; page = first_page_of(page) + PAGE_MAP_LEAF_COUNT)
		if (!leaf_of(page) && !make_leaf(page))
			return false;
	return true;
}

void ht_page_map_set(uintptr_t start, size_t pages, struct span *span)
{
	uintptr_t page = start >> PAGE_SHIFT;

	while (pages > 0) {
		struct leaf *leaf = leaf_of(page);
		size_t at = page - leaf->first_page, count = PAGE_MAP_LEAF_COUNT - at;

		if (count > pages)
			count = pages;
		for (size_t i = 0; i < count; i++)
			__atomic_store_n(&leaf->spans[at + i], span, __ATOMIC_RELAXED);
		page += count;
		pages -= count;
	}
}

struct span *ht_page_map_next(uintptr_t address, uintptr_t end)
{
	uintptr_t page = address >> PAGE_SHIFT, last = (end - 1) >> PAGE_SHIFT;
	struct leaf *leaf = leaf_next(place_of(page));

	for (; leaf && leaf->first_page <= last; leaf = leaf_next(&leaf->next)) {
		if (page < leaf->first_page)
			page = leaf->first_page;
		for (; page < leaf->first_page + PAGE_MAP_LEAF_COUNT && page <= last; page++) {
			struct span *span = __atomic_load_n(&leaf->spans[page - leaf->first_page],
							    __ATOMIC_RELAXED);

			if (span)
				return span_behind(span);
		}
	}
	return NULL;
}

void ht_page_map_walk(bool (*visit)(struct span *span, void *context), void *context)
{
	for (struct leaf *leaf = leaf_next(&leaves); leaf; leaf = leaf_next(&leaf->next)) {
		for (size_t at = 0; at < PAGE_MAP_LEAF_COUNT; at++) {
			struct span *span =
				span_behind(__atomic_load_n(&leaf->spans[at], __ATOMIC_RELAXED));
			uintptr_t address = (leaf->first_page + at) << PAGE_SHIFT;

			/* A span that began in the leaf before was visited there. */
			if (span && span->start == address && !visit(span, context))
				return;
		}
	}
}
