/* The order in which one call's events are recorded: whatever is taken is there before the block is,
 * and whatever is given back goes after it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shim/api/malloc.h"
#include "tests/unit/shim/recording.h"

static int set_up(void **state)
{
	int peer;

	(void)state;
	return recording_begin(true, &peer);
}

static uint32_t events(void)
{
	return ht_recorder->buffer ? ht_recorder->buffer->count : 0;
}

/* The place of the first event of this kind from `from` on. */
static uint32_t place_of(unsigned kind, uint32_t from)
{
	const struct ring_buffer *buffer = ht_recorder->buffer;

	while (from < buffer->count && event_kind_of(buffer->kinds[from]) != kind)
		from++;
	assert_true(from < buffer->count);
	return from;
}

/* The last realloc's words: old usable, size, usable. */
static void check_sizes(size_t old_usable, size_t size, size_t usable)
{
	const struct ring_buffer *buffer = ht_recorder->buffer;
	uint32_t words = 0;

	for (uint32_t at = 0; at < place_of(EVENT_REALLOC, 0); at++)
		words += (uint32_t)event_details(buffer->kinds[at], buffer->classes[at]);
	assert_int_equal(buffer->details[words + 4], old_usable);
	assert_int_equal(buffer->details[words + 5], size);
	assert_int_equal(buffer->details[words + 6], usable);
}

static void resized_in_place(void **state)
{
	static const struct {
		size_t before, after;
		bool huge;
	} sizes[] = { { 1000000, 400000, false }, { 160000000, 90000000, true } };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t usable = (sizes[i].after + 4095) & ~(size_t)4095, old_usable;
		void *block = ht_api_malloc(sizes[i].before);
		uint32_t from = events(), realloced;

		old_usable = ht_api_malloc_usable_size(block);
		assert_ptr_equal(ht_api_realloc(block, sizes[i].after), block);
		realloced = place_of(EVENT_REALLOC, from);
		assert_true(realloced < place_of(EVENT_UNSPAN, from));
		assert_true(realloced < place_of(EVENT_SPAN, from));
		if (sizes[i].huge)
			assert_true(realloced < place_of(EVENT_MREMAP, from));
		assert_int_equal(ht_api_malloc_usable_size(block), usable);
		check_sizes(old_usable, sizes[i].after, usable);

		/* And back: the pages come first. */
		from = events();
		assert_ptr_equal(ht_api_realloc(block, sizes[i].before), block);
		realloced = place_of(EVENT_REALLOC, from);
		assert_true(place_of(EVENT_SPAN, from) < realloced);
		ht_api_free(block);
		ht_recorder->buffer->fill = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resized_in_place),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
