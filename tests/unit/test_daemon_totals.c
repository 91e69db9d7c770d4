/* Totals against a slow count of the same random history. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/totals.h"

#define STACKS 40u
#define STEPS 20000u
#define LIVE_MAX 500u

struct block {
	uint32_t stack;
	uint64_t size;
};

static uint64_t state = 1;

static unsigned pick(unsigned below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % below;
}

/* Every maximum copies what is live per stack, which is what the epochs avoid. */
static void test_peak_of_each_stack(void **unused)
{
	uint64_t live[STACKS] = { 0 }, blocks[STACKS] = { 0 };
	uint64_t peak_live[STACKS] = { 0 }, peak_blocks[STACKS] = { 0 };
	uint64_t total = 0, peak = 0, peak_at = 0;
	static struct block held[LIVE_MAX];
	unsigned held_count = 0;
	struct totals totals;

	(void)unused;
	assert_int_equal(totals_init(&totals), 0);
	for (unsigned step = 0; step < STEPS; step++) {
		/* Waves, so that there are many maxima and long times without one. */
		unsigned grow = step / 1000 % 2 ? 35 : 65;

		if (held_count < LIVE_MAX && (!held_count || pick(100) < grow)) {
			struct block block = { pick(STACKS), pick(3) ? pick(2000) : pick(90000) };

			held[held_count++] = block;
			totals_allocation(&totals, totals_stack(&totals, block.stack), block.size);
			totals_peak(&totals, step);
			live[block.stack] += block.size;
			blocks[block.stack]++;
			total += block.size;
		} else {
			unsigned which = pick(held_count);
			struct block block = held[which];

			held[which] = held[--held_count];
			totals_free(&totals, totals_stack(&totals, block.stack), block.size, false);
			live[block.stack] -= block.size;
			blocks[block.stack]--;
			total -= block.size;
		}
		if (total > peak) {
			peak = total;
			peak_at = step;
			memcpy(peak_live, live, sizeof(live));
			memcpy(peak_blocks, blocks, sizeof(blocks));
		}
	}
	assert_int_equal(totals.peak_bytes, peak);
	assert_int_equal(totals.peak_ns, peak_at);
	assert_int_equal(totals.allocated_bytes - totals.freed_bytes, total);
	for (uint32_t stack = 0; stack < STACKS; stack++) {
		const struct stack_total *row = &totals.stacks[totals_stack(&totals, stack)];
		uint64_t row_blocks, row_bytes;

		stack_total_peak(&totals, row, &row_blocks, &row_bytes);
		assert_int_equal(row_bytes, peak_live[stack]);
		assert_int_equal(row_blocks, peak_blocks[stack]);
		assert_int_equal(row->allocated_bytes - row->freed_bytes, live[stack]);
	}
	totals_release(&totals);
}

static void test_stack_places(void **unused)
{
	struct totals totals;
	uint32_t place;

	(void)unused;
	assert_int_equal(totals_init(&totals), 0);
	assert_int_equal(totals_stack(&totals, 0), 0);
	for (uint32_t id = 1; id < 5000; id++)
		assert_int_equal(totals_stack(&totals, id * 7919), id);
	for (uint32_t id = 1; id < 5000; id++) {
		place = totals_stack(&totals, id * 7919);
		assert_int_equal(place, id);
		assert_int_equal(totals.stacks[place].stack_id, id * 7919);
	}
	totals_release(&totals);
}

static void test_size_buckets(void **unused)
{
	const uint64_t odd[] = { 0,	     1,		 2,	    1023,	    1024,
				 1025,	     1152,	 1153,	    2048,	    2049,
				 UINT32_MAX, 1ull << 32, INT64_MAX, UINT64_MAX - 1, UINT64_MAX };
	unsigned before = 0;

	(void)unused;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		unsigned bucket = size_bucket(odd[i]);

		assert_true(bucket < SIZE_BUCKETS);
		assert_true(bucket >= before);
		assert_true(size_bucket_limit(bucket) >= odd[i]);
		if (bucket)
			assert_true(size_bucket_limit(bucket - 1) < odd[i]);
		before = bucket;
	}
	for (unsigned bucket = 0; bucket < SIZE_BUCKETS; bucket++)
		assert_int_equal(size_bucket(size_bucket_limit(bucket)), bucket);
	assert_int_equal(size_bucket_limit(size_bucket(1025)), 1152);
	assert_int_equal(size_bucket_limit(size_bucket(1153)), 1280);
}

/* Recording was off for a time: what was live is void, what is listed counts, allocations stay. */
static void test_listed(void **unused)
{
	struct size_total *size;
	struct totals totals;
	uint32_t one, other;
	uint64_t blocks, bytes;

	(void)unused;
	assert_int_equal(totals_init(&totals), 0);
	one = totals_stack(&totals, 1);
	other = totals_stack(&totals, 2);
	for (int i = 0; i < 3; i++) {
		totals_allocation(&totals, one, 100);
		totals_peak(&totals, 1);
	}
	totals_free(&totals, one, 100, false);
	totals_write_off(&totals);
	assert_int_equal(totals_live_blocks(&totals), 0);
	assert_int_equal(totals_live_bytes(&totals.stacks[one]), 0);
	totals_listed(&totals, one, 100);
	totals_listed(&totals, other, 40);
	totals_peak(&totals, 2);
	assert_int_equal(totals_live_blocks(&totals), 2);
	assert_int_equal(totals_live_bytes(&totals), 140);
	assert_int_equal(totals.allocations, 3);
	assert_int_equal(totals.peak_bytes, 300);
	stack_total_peak(&totals, &totals.stacks[one], &blocks, &bytes);
	assert_int_equal(blocks, 3);
	totals_free(&totals, other, 40, false);
	totals_write_off(&totals);
	assert_int_equal(totals_live_blocks(&totals), 0);
	size = &totals.sizes[size_bucket(40)];
	assert_int_equal(totals_live_blocks(size), 0);
	assert_true(size->listed);
	totals_release(&totals);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peak_of_each_stack),
		cmocka_unit_test(test_stack_places),
		cmocka_unit_test(test_size_buckets),
		cmocka_unit_test(test_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
