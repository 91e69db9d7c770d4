/* --guard: what it finds, and that nobody notices who does nothing wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "shim/api/malloc.h"
#include "shim/record/freed.h"
#include "shim/misuse/guarded.h"
#include "shim/misuse/misuse.h"

static const size_t sizes[] = {
	0,    1,    7,	  8,	15,    16,    17,    24,    100,    1000,
	1008, 1009, 4096, 5000, 30000, 32752, 32753, 40000, 100000, 600000
};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static int begin(void **state)
{
	(void)state;
	setenv("HEAPTAPE_ON_ERROR", "continue", 1);
	if (!ht_guard_on)
		ht_guard_start();
	ht_misuses = 0;
	return 0;
}

/* Blocks of this size until whoever was freed before is out of quarantine. */
static void pass_quarantine(size_t size)
{
	for (int i = 0; i < 5000; i++)
		ht_api_free(ht_api_malloc(size));
}

static void sizes_are_kept(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIZES; i++) {
		char *block = ht_api_malloc(sizes[i]);

		assert_non_null(block);
		assert_int_equal(ht_api_malloc_usable_size(block), sizes[i]);
		memset(block, 0xff, sizes[i]);
		ht_api_free(block);
		block = ht_api_calloc(1, sizes[i]);
		assert_int_equal(ht_api_malloc_usable_size(block), sizes[i]);
		for (size_t at = 0; at < sizes[i]; at++)
			assert_int_equal(block[at], 0);
		memset(block, 0xff, sizes[i]);
		ht_api_free(block);
		for (size_t alignment = 16; alignment <= 65536; alignment *= 4) {
			void *aligned;

			assert_int_equal(ht_api_posix_memalign(&aligned, alignment, sizes[i]), 0);
			assert_int_equal((uintptr_t)aligned % alignment, 0);
			assert_int_equal(ht_api_malloc_usable_size(aligned), sizes[i]);
			memset(aligned, 0, sizes[i]);
			ht_api_free(aligned);
		}
	}
	assert_null(ht_api_malloc(SIZE_MAX));
	assert_null(ht_api_malloc(PTRDIFF_MAX));
	assert_null(ht_api_calloc(SIZE_MAX, 2));
	assert_int_equal(ht_misuses, 0);
}

static void realloc_keeps_contents(void **state)
{
	(void)state;
	for (size_t from = 0; from < SIZES; from++)
		for (size_t to = 1; to < SIZES; to++) {
			size_t both = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
			unsigned char *block = ht_api_malloc(sizes[from]);

			for (size_t at = 0; at < sizes[from]; at++)
				block[at] = (unsigned char)(at * 7);
			block = ht_api_realloc(block, sizes[to]);
			assert_non_null(block);
			assert_int_equal(ht_api_malloc_usable_size(block), sizes[to]);
			for (size_t at = 0; at < both; at++)
				assert_int_equal(block[at], (unsigned char)(at * 7));
			memset(block, 0, sizes[to]);
			/* Too much: the old block goes on as it was. */
			assert_null(ht_api_realloc(block, SIZE_MAX / 2));
			assert_int_equal(ht_api_malloc_usable_size(block), sizes[to]);
			assert_null(ht_api_realloc(block, 0));
		}
	assert_int_equal(ht_misuses, 0);
}

static void overflows_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIZES; i++) {
		char *block = ht_api_malloc(sizes[i]);

		ht_misuses = 0;
		block[sizes[i]] = 0;
		ht_api_free(block);
		assert_int_equal(ht_misuses, 1);
		block = ht_api_memalign(64, sizes[i]);
		block[sizes[i] + 15] = 'x';
		block = ht_api_realloc(block, sizes[i] + 1);
		assert_int_equal(ht_misuses, 2);
		block[sizes[i] + 1] = 0;
		ht_guard_check_all();
		assert_int_equal(ht_misuses, 3);
		ht_api_free(block);
		assert_int_equal(ht_misuses, 4);
	}
}

static void writes_after_free_are_found(void **state)
{
	(void)state;
	for (size_t i = 1; i < SIZES && sizes[i] < 32753; i++) {
		volatile char *block = ht_api_malloc(sizes[i]);

		ht_misuses = 0;
		ht_api_free((void *)block);
		block[sizes[i] - 1] = 0;
		ht_guard_check_all();
		assert_int_equal(ht_misuses, 1);
		pass_quarantine(sizes[i]);
		assert_int_equal(ht_misuses, 2); /* it was told again, and mended */
		ht_guard_check_all();
		assert_int_equal(ht_misuses, 2);
	}
}

static void freed_blocks_are_known(void **state)
{
	char *block = ht_api_malloc(24), *large = ht_api_malloc(100000);

	(void)state;
	ht_api_free(block);
	ht_api_free(block);
	assert_int_equal(ht_misuses, 1);
	assert_null(ht_api_realloc(block, 10));
	assert_int_equal(ht_misuses, 2);
	assert_int_equal(ht_api_malloc_usable_size(block), 0);
	assert_int_equal(ht_misuses, 3);
	ht_api_free(block + 8);
	assert_int_equal(ht_misuses, 4);
	ht_api_free(large);
	ht_api_free(large);
	assert_int_equal(ht_misuses, 5);
	/* None of it has done any harm. */
	pass_quarantine(24);
	ht_guard_check_all();
	assert_int_equal(ht_misuses, 5);
}

static void latest_are_remembered(void **state)
{
	struct freed_block freed;

	(void)state;
	for (uintptr_t i = 1; i <= 5000; i++)
		ht_freed_add(0x100000 + 48 * i, i, (uint32_t)i + 1, (uint32_t)i + 2);
	for (uintptr_t i = 1; i <= 5000; i++) {
		assert_true(ht_freed_find(0x100000 + 48 * i, &freed));
		assert_int_equal(freed.size_bytes, i);
		assert_int_equal(freed.stacks, (i + 1) << 32 | (i + 2));
	}
	ht_freed_add(0x100000 + 48, 7, 8, 9);
	assert_true(ht_freed_find(0x100000 + 48, &freed));
	assert_int_equal(freed.size_bytes, 7);
	assert_false(ht_freed_find(0x100001, &freed));
	assert_false(ht_freed_find(0, &freed));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(sizes_are_kept, begin),
		cmocka_unit_test_setup(realloc_keeps_contents, begin),
		cmocka_unit_test_setup(overflows_are_found, begin),
		cmocka_unit_test_setup(writes_after_free_are_found, begin),
		cmocka_unit_test_setup(freed_blocks_are_known, begin),
		cmocka_unit_test_setup(latest_are_remembered, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
