/* Address -> span, for addresses all over. The pages themselves need not exist. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shim/alloc/page_map.h"

#define LEAF_BYTES ((uintptr_t)PAGE_MAP_LEAF_COUNT * PAGE_BYTES)
#define REGION_BYTES ((uintptr_t)1 << PAGE_MAP_REGION_SHIFT)

static uintptr_t base = (uintptr_t)5 * REGION_BYTES + 7 * LEAF_BYTES;
static struct span spans[8];

static void enter(struct span *span, uintptr_t start, size_t pages)
{
	span->start = start;
	span->pages = pages;
	assert_true(ht_page_map_reserve(start, pages));
	ht_page_map_set(start, pages, span);
}

static void shared_entries(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		enter(&spans[i], base + i * REGION_BYTES, 3);
	for (unsigned i = 0; i < 4; i++) {
		uintptr_t start = base + i * REGION_BYTES;

		assert_ptr_equal(span_of((void *)start), &spans[i]);
		assert_ptr_equal(span_of((void *)(start + 3 * PAGE_BYTES - 1)), &spans[i]);
		assert_null(span_of((void *)(start + 3 * PAGE_BYTES)));
		assert_null(span_of((void *)(start - 1)));
	}
	assert_null(span_of((void *)(base + 4 * REGION_BYTES)));
	assert_null(span_of(NULL));
}

static void wild_pointers(void **state)
{
	(void)state;
	for (unsigned bit = 47; bit < 64; bit++)
		assert_null(span_of((void *)(base | (uintptr_t)1 << bit)));
	assert_null(span_of((void *)UINTPTR_MAX));
}

static void across_leaves(void **state)
{
	uintptr_t start = base + 2 * LEAF_BYTES - 2 * PAGE_BYTES;

	(void)state;
	enter(&spans[4], start, PAGE_MAP_LEAF_COUNT + 4);
	for (size_t page = 0; page < PAGE_MAP_LEAF_COUNT + 4; page += 2)
		assert_ptr_equal(span_of((void *)(start + page * PAGE_BYTES)), &spans[4]);
	assert_null(span_of((void *)(start + (PAGE_MAP_LEAF_COUNT + 4) * PAGE_BYTES)));
	assert_ptr_equal(ht_page_map_next(base + 3 * PAGE_BYTES, UINTPTR_MAX), &spans[4]);
	assert_null(ht_page_map_next(base + 3 * PAGE_BYTES, start));
	assert_ptr_equal(ht_page_map_next(base + 3 * PAGE_BYTES, start + 1), &spans[4]);
	assert_null(ht_page_map_next(base + 4 * REGION_BYTES, UINTPTR_MAX));
}

static bool count(struct span *span, void *context)
{
	struct span **last = context;

	assert_true(!*last || (*last)->start < span->start);
	*last = span;
	return true;
}

static void in_order(void **state)
{
	struct span *last = NULL;

	(void)state;
	ht_page_map_walk(count, &last);
	assert_ptr_equal(last, &spans[3]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared_entries),
		cmocka_unit_test(wild_pointers),
		cmocka_unit_test(across_leaves),
		cmocka_unit_test(in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
