#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shim/alloc/size_class.h"

/* Every size gets the smallest class it fits in. */
static void smallest_that_fits(void **state)
{
	(void)state;
	assert_int_equal(size_class_of(0), 1);
	assert_int_equal(size_class_of(SMALL_MAX_BYTES), CLASS_COUNT);
	for (size_t size = 1; size <= SMALL_MAX_BYTES; size++) {
		unsigned class = size_class_of(size);

		assert_in_range(class, 1, CLASS_COUNT);
		assert_true(size_class_bytes(class) >= size);
		assert_true(class == 1 || size_class_bytes(class - 1) < size);
	}
}

static void steps_are_small(void **state)
{
	(void)state;
	for (unsigned class = 1; class <= CLASS_COUNT; class ++) {
		size_t bytes = size_class_bytes(class);

		assert_int_equal(bytes % BLOCK_ALIGN, 0);
		if (class > 16)
			assert_true((bytes - size_class_bytes(class - 1)) * 8 <= bytes);
	}
	assert_int_equal(size_class_bytes(CLASS_COUNT), SMALL_MAX_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smallest_that_fits),
		cmocka_unit_test(steps_are_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
