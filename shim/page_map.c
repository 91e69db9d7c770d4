#include "shim/page_map.h"

#include "shim/prim.h"
#include "shim/sys.h"

/* Read-only and without bytes in the file. So great an alignment gets it a segment of its own; among
 * the writable ones it would work as well, and count. */
__attribute__((section(".page_map,\"a\",@nobits#"),
	       aligned(1 << 16))) struct span **ht_page_map[PAGE_MAP_ROOT_COUNT];

#define ROOT_PART ((size_t)1 << 13) /* entries: 64 KiB, for 8 TiB of addresses */
#define LEAF_PART ((size_t)1 << 15) /* 256 KiB, for 128 MiB */

struct leaf {
	struct span *spans[PAGE_MAP_LEAF_COUNT];
	_Alignas(PAGE_BYTES) uint64_t writable; /* a bit for each part */
};

static uint64_t root_writable;

static inline size_t root_index(uintptr_t page)
{
	return page >> PAGE_MAP_LEAF_SHIFT & (PAGE_MAP_ROOT_COUNT - 1);
}

/* What was in a part would be lost if it were made writable again, so handlers that came in between
 * must not: shim/emergency.h. They do without the page heap's lock. */
static struct prim_lock writable_lock;

static bool make_writable(uint64_t *writable, size_t part, void *start, size_t bytes)
{
	uint64_t bit = 1ull << part, signals;
	bool done = true;

	if (__atomic_load_n(writable, __ATOMIC_ACQUIRE) & bit)
		return true;
	sys_signals_block(&signals);
	prim_lock(&writable_lock);
	if (!(*writable & bit)) {
		done = prim_make_writable(start, bytes);
		if (done)
			__atomic_store_n(writable, *writable | bit, __ATOMIC_RELEASE);
	}
	prim_unlock(&writable_lock);
	sys_signals_restore(&signals);
	return done;
}

void ht_page_map_fork_child(void)
{
	prim_lock_reset(&writable_lock);
}

static struct leaf *make_leaf(void)
{
	struct leaf *leaf = prim_map_unwritable(sizeof(*leaf));

	if (leaf && !prim_make_writable(&leaf->writable, PAGE_BYTES)) {
		prim_unmap(leaf, sizeof(*leaf));
		leaf = NULL;
	}
	return leaf;
}

/* The leaf of a page; made, when there is none. NULL: no memory. */
static struct leaf *leaf_for(uintptr_t page)
{
	size_t root = root_index(page), part = root / ROOT_PART;
	struct leaf *leaf = (struct leaf *)ht_page_map[root];
	struct span **expect = NULL;

	if (leaf)
		return leaf;
	if (!make_writable(&root_writable, part, &ht_page_map[part * ROOT_PART],
			   ROOT_PART * sizeof(*ht_page_map)))
		return NULL;
	leaf = make_leaf();
	if (leaf && !__atomic_compare_exchange_n(&ht_page_map[root], &expect, leaf->spans, false,
						 __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
		/* A handler that interrupted us was first: shim/emergency.h. */
		prim_unmap(leaf, sizeof(*leaf));
		leaf = (struct leaf *)expect;
	}
	return leaf;
}

bool ht_page_map_reserve(uintptr_t start, size_t pages)
{
	uintptr_t first = start >> PAGE_SHIFT, last = first + pages - 1;

	for (uintptr_t page = first & ~(LEAF_PART - 1); page <= last; page += LEAF_PART) {
		struct leaf *leaf = leaf_for(page);
		size_t at = page & (PAGE_MAP_LEAF_COUNT - 1);

		if (!leaf || !make_writable(&leaf->writable, at / LEAF_PART, &leaf->spans[at],
					    LEAF_PART * sizeof(leaf->spans[0])))
			return false;
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
