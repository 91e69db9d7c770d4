#include "daemon/totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_STACKS 64u

static uint32_t hash(uint32_t stack_id)
{
	return (uint32_t)((stack_id * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

int totals_init(struct totals *totals)
{
	memset(totals, 0, sizeof(*totals));
	totals->stacks = calloc(FIRST_STACKS, sizeof(*totals->stacks));
	totals->index = calloc(FIRST_STACKS * 2, sizeof(*totals->index));
	totals->sizes = calloc(SIZE_BUCKETS, sizeof(*totals->sizes));
	if (!totals->stacks || !totals->index || !totals->sizes) {
		totals_release(totals);
		return -ENOMEM;
	}
	totals->stack_capacity = FIRST_STACKS;
	totals->index_size = FIRST_STACKS * 2;
	totals->stack_count = 1;
	return 0;
}

void totals_release(struct totals *totals)
{
	free(totals->stacks);
	free(totals->index);
	free(totals->sizes);
	memset(totals, 0, sizeof(*totals));
}

static void index_put(struct totals *totals, uint32_t place)
{
	uint32_t at = hash(totals->stacks[place].stack_id);

	while (totals->index[at & (totals->index_size - 1)])
		at++;
	totals->index[at & (totals->index_size - 1)] = place;
}

/* Doubles the room. */
static bool grow(struct totals *totals)
{
	uint32_t capacity = totals->stack_capacity * 2;
	struct stack_total *stacks = realloc(totals->stacks, capacity * sizeof(*stacks));
	uint32_t *index;

	if (!stacks)
		return false;
	totals->stacks = stacks;
	index = calloc((size_t)capacity * 2, sizeof(*index));
	if (!index)
		return false;
	free(totals->index);
	totals->index = index;
	totals->index_size = capacity * 2;
	totals->stack_capacity = capacity;
	for (uint32_t place = 1; place < totals->stack_count; place++)
		index_put(totals, place);
	return true;
}

uint32_t totals_stack(struct totals *totals, uint32_t stack_id)
{
	uint32_t at = hash(stack_id), place;

	if (stack_id == 0)
		return 0;
	for (;; at++) {
		place = totals->index[at & (totals->index_size - 1)];
		if (!place)
			break;
		if (totals->stacks[place].stack_id == stack_id)
			return place;
	}
	if (totals->stack_count == totals->stack_capacity && !grow(totals))
		return 0;
	place = totals->stack_count++;
	totals->stacks[place] = (struct stack_total){ .stack_id = stack_id };
	index_put(totals, place);
	return place;
}

void totals_forget_stacks(struct totals *totals, int64_t first_stack_id)
{
	struct stack_total *none = &totals->stacks[0];

	stack_total_touch(totals, none);
	for (uint32_t place = 1; place < totals->stack_count; place++) {
		struct stack_total *total = &totals->stacks[place];

		if (total->stack_id < first_stack_id)
			continue;
		stack_total_touch(totals, total);
		none->allocations += total->allocations;
		none->allocated_bytes += total->allocated_bytes;
		none->frees += total->frees;
		none->freed_bytes += total->freed_bytes;
		none->temporary += total->temporary;
		none->listed_blocks += total->listed_blocks;
		none->listed_bytes += total->listed_bytes;
		none->peak_blocks += total->peak_blocks;
		none->peak_bytes += total->peak_bytes;
		*total =
			(struct stack_total){ .stack_id = total->stack_id, .epoch = totals->epoch };
	}
}

void totals_write_off(struct totals *totals)
{
	for (uint32_t place = 0; place < totals->stack_count; place++) {
		struct stack_total *total = &totals->stacks[place];

		if (!totals_live_blocks(total) && !totals_live_bytes(total))
			continue;
		stack_total_touch(totals, total);
		total->listed_blocks -= totals_live_blocks(total);
		total->listed_bytes -= totals_live_bytes(total);
	}
	for (unsigned bucket = 0; bucket < SIZE_BUCKETS; bucket++) {
		struct size_total *size = &totals->sizes[bucket];

		size->listed_blocks -= totals_live_blocks(size);
		size->listed_bytes -= totals_live_bytes(size);
	}
	totals->listed_blocks -= totals_live_blocks(totals);
	totals->listed_bytes -= totals_live_bytes(totals);
}

uint64_t size_bucket_limit(unsigned bucket)
{
	unsigned beyond, exponent;

	if (bucket <= SIZE_EXACT)
		return bucket;
	beyond = bucket - SIZE_EXACT - 1;
	exponent = 10 + beyond / 8;
	if (exponent == 63 && beyond % 8 == 7)
		return UINT64_MAX;
	return (uint64_t)(9 + beyond % 8) << (exponent - 3);
}
