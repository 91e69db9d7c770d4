/* Events as they are written into a thread's buffer: what each kind leaves there, how full a buffer
 * gets, and what the record beside a block says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shim/record/record.h"

static struct ring_buffer *buffer;
static struct recorder recorder;
static const uint32_t recording = RING_CONTROL_RECORD;

static int set_up(void **state)
{
	(void)state;
	buffer = calloc(1, sizeof(*buffer));
	buffer->thread = 3;
	buffer->meta_thread = 3;
	recorder = (struct recorder){ .buffer = buffer };
	ht_recorder = &recorder;
	ht_epoch_ticks = 0;
	return 0;
}

static int tear_down(void **state)
{
	static struct recorder none;

	(void)state;
	ht_recorder = &none;
	free(buffer);
	return 0;
}

static void check_details(unsigned events)
{
	uint32_t words = 0;

	assert_int_equal(buffer->count, events);
	for (unsigned i = 0; i < events; i++)
		words += (uint32_t)event_details(buffer->kinds[i], buffer->classes[i]);
	assert_int_equal(buffer->details_used, words);
	assert_int_equal(buffer->busy, 0);
}

static void site_packs(void **state)
{
	uint64_t site = meta_site(65535, META_THREAD_MAX, META_STACK_MAX);

	(void)state;
	assert_int_equal(meta_size_bytes(site), 65535);
	assert_int_equal(meta_thread(site), META_THREAD_MAX);
	assert_int_equal(meta_stack(site), META_STACK_MAX);
	site = meta_site(1, 2, 3);
	assert_int_equal(meta_size_bytes(site), 1);
	assert_int_equal(meta_thread(site), 2);
	assert_int_equal(meta_stack(site), 3);
	site = meta_site(0, 0, 0);
	assert_int_equal(site, 0);
	/* The size of a large block must not spill into the other fields. */
	site = meta_site((size_t)1 << 40, 2, 3);
	assert_int_equal(meta_thread(site), 2);
	assert_int_equal(meta_stack(site), 3);
}

static void small_block_lives(void **state)
{
	struct block_meta meta = { 0, 0 };

	(void)state;
	ht_record_alloc(EVENT_MALLOC, (void *)0x1000, 100, 7, 112, &meta, 55);
	assert_int_equal(buffer->kinds[0], EVENT_MALLOC);
	assert_int_equal(buffer->classes[0], 7);
	assert_int_equal(buffer->addresses[0], 0x1000);
	assert_int_equal(buffer->sizes[0], 100);
	assert_int_equal(buffer->stacks[0], 55);
	assert_int_equal(meta.ticks, buffer->ticks[0]);
	assert_int_equal(meta_thread(meta.site), 3);
	check_details(1);

	ht_record_free((void *)0x1000, 7, 112, 112, &meta, 77);
	assert_int_equal(buffer->kinds[1], EVENT_FREE);
	assert_int_equal(buffer->sizes[1], 100);
	assert_int_equal(buffer->stacks[1], 55);
	assert_int_equal(buffer->details[0], buffer->ticks[0]);
	assert_int_equal(buffer->details[1], 77ull << 32 | 3);
	assert_true(buffer->ticks[1] >= buffer->ticks[0]);
	assert_int_equal(meta.ticks, 0);
	check_details(2);
}

static void large_block_lives(void **state)
{
	struct block_meta meta = { 0, 0 };

	(void)state;
	ht_record_alloc(EVENT_CALLOC, (void *)0x2000, 1000000, 0, 1003520, &meta, 9);
	assert_int_equal(buffer->sizes[0], 0);
	assert_int_equal(buffer->details[0], 1000000);
	assert_int_equal(buffer->details[1], 1003520);
	ht_record_free((void *)0x2000, 0, 1000000, 1003520, &meta, 0);
	assert_int_equal(buffer->details[2], buffer->ticks[0]);
	assert_int_equal(buffer->details[3], 3);
	assert_int_equal(buffer->details[4], 1000000);
	assert_int_equal(buffer->details[5], 1003520);
	assert_int_equal(buffer->stacks[1], 9);
	check_details(2);
}

static void failed_request(void **state)
{
	(void)state;
	ht_record_alloc(EVENT_MALLOC, NULL, SIZE_MAX, 0, 0, NULL, 4);
	assert_int_equal(buffer->addresses[0], 0);
	assert_true(buffer->details[0] == SIZE_MAX);
	check_details(1);
}

static void block_from_before(void **state)
{
	struct block_meta meta = { 5, meta_site(10, 1, 2) };

	(void)state;
	ht_record_free((void *)0x3000, 2, 32, 32, NULL, 0);
	assert_int_equal(buffer->details[0], 0);
	assert_int_equal(buffer->details[1], 0);
	assert_int_equal(buffer->sizes[0], 32);
	/* Recorded by the process we were forked from: its size is known, its birth is not ours. */
	ht_epoch_ticks = 6;
	ht_record_free((void *)0x4000, 2, 32, 32, &meta, 0);
	assert_int_equal(buffer->details[2], 0);
	assert_int_equal(buffer->details[3], 0);
	assert_int_equal(buffer->stacks[1], 0);
	assert_int_equal(buffer->sizes[1], 10);
	check_details(2);
}

static void realloc_is_one_event(void **state)
{
	struct block_meta meta = { 0, 0 };
	struct realloc_old old = { .block = (void *)0x5000, .size_bytes = 20, .usable_bytes = 32 };
	static const struct realloc_old none;

	(void)state;
	ht_record_realloc((void *)0x5000, 20, 2, 32, &meta, &none, 11);
	for (int i = 0; i < 5; i++)
		assert_int_equal(buffer->details[i], 0);
	old.meta = meta;
	ht_record_realloc((void *)0x6000, 500000, 0, 501760, &meta, &old, 12);
	assert_int_equal(buffer->kinds[1], EVENT_REALLOC);
	assert_int_equal(buffer->addresses[1], 0x6000);
	assert_int_equal(buffer->details[5], 0x5000);
	assert_int_equal(buffer->details[6], buffer->ticks[0]);
	assert_int_equal(buffer->details[7], 11ull << 32 | 3);
	assert_int_equal(buffer->details[8], 20);
	assert_int_equal(buffer->details[9], 32);
	assert_int_equal(buffer->details[10], 500000);
	assert_int_equal(buffer->details[11], 501760);
	assert_int_equal(meta_stack(meta.site), 12);
	check_details(2);
	/* A failed one leaves the old block's record alone. */
	old.meta = meta;
	ht_record_realloc(NULL, 1, 0, 0, NULL, &old, 13);
	assert_int_equal(meta_stack(meta.site), 12);
	check_details(3);
}

/* Without a connection nothing can be sent: what does not fit is refused, never written past the
 * end, and page events still find room when blocks' events do not. */
static void full_buffer_refuses(void **state)
{
	struct block_meta meta = { 0, 0 };
	struct realloc_old old = { .block = (void *)0x5000 };
	uint64_t words[3] = { 1, 2, 3 };
	uint32_t count;

	(void)state;
	for (int i = 0; i < RING_EVENTS + 50; i++)
		ht_record_alloc(EVENT_MALLOC, (void *)0x1000, 1, 1, 16, &meta, 0);
	assert_int_equal(buffer->count, RECORD_EVENT_LIMIT);
	assert_int_equal(meta.ticks, 0);
	ht_control = ht_entry = &recording;
	for (int i = 0; i < RECORD_PAGE_EVENTS; i++)
		ht_watch_pages(EVENT_MREMAP | EVENT_BY_ALLOCATOR, 0x7000, words);
	assert_int_equal(buffer->count, RING_EVENTS);
	ht_watch_pages(EVENT_MREMAP, 0x7000, words);
	check_details(RING_EVENTS);

	buffer->count = buffer->details_used = 0;
	for (int i = 0; i < RING_EVENTS; i++)
		ht_record_realloc((void *)0x1000, 1 << 20, 0, 1 << 20, &meta, &old, 0);
	assert_true(buffer->count < RING_EVENTS);
	count = buffer->count;
	for (int i = 0; i < RECORD_PAGE_EVENTS; i++)
		ht_watch_pages(EVENT_MREMAP | EVENT_BY_ALLOCATOR, 0x7000, words);
	assert_true(buffer->details_used <= RING_DETAILS);
	check_details(count + RECORD_PAGE_EVENTS);
}

/* What a signal handler meets that interrupts the writing of an event, when it cannot have a buffer
 * of its own: there is no connection. */
static void busy_buffer_refuses(void **state)
{
	struct block_meta meta = { 1, 1 };
	uint64_t words[2] = { 1, 2 };
	uint32_t token = frame_token() + (64 << 10);

	(void)state;
	buffer->busy = token;
	ht_record_alloc(EVENT_MALLOC, (void *)0x1000, 1, 1, 16, &meta, 0);
	ht_record_free((void *)0x1000, 1, 1, 16, &meta, 0);
	ht_control = ht_entry = &recording;
	ht_watch_pages(EVENT_SBRK, 0x7000, words);
	assert_int_equal(buffer->count, 0);
	assert_int_equal(buffer->busy, token);
	assert_int_equal(meta.ticks, 0);
}

/* The frame that was writing is gone: a handler jumped out of it. */
static void left_buffer_is_used_again(void **state)
{
	struct block_meta meta = { 0, 0 };

	(void)state;
	buffer->busy = frame_token() - (64 << 10);
	ht_record_alloc(EVENT_MALLOC, (void *)0x1000, 1, 1, 16, &meta, 0);
	check_details(1);
}

static void time_always_goes_up(void **state)
{
	struct block_meta meta = { 0, 0 };

	(void)state;
	buffer->last_ticks = UINT64_MAX - 2;
	ht_record_alloc(EVENT_MALLOC, (void *)0x1000, 1, 1, 16, &meta, 0);
	ht_record_alloc(EVENT_MALLOC, (void *)0x2000, 1, 1, 16, &meta, 0);
	assert_true(buffer->ticks[0] == UINT64_MAX - 1);
	assert_true(buffer->ticks[1] == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(site_packs),
		cmocka_unit_test_setup_teardown(small_block_lives, set_up, tear_down),
		cmocka_unit_test_setup_teardown(large_block_lives, set_up, tear_down),
		cmocka_unit_test_setup_teardown(failed_request, set_up, tear_down),
		cmocka_unit_test_setup_teardown(block_from_before, set_up, tear_down),
		cmocka_unit_test_setup_teardown(realloc_is_one_event, set_up, tear_down),
		cmocka_unit_test_setup_teardown(full_buffer_refuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(busy_buffer_refuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(left_buffer_is_used_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(time_always_goes_up, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
