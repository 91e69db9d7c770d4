/* The set of live blocks; see live.h. */
#include "viewer/sqlite/live.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/event_row.h"

#define FIRST_PLACES 1024

static size_t place_of(const struct live_set *set, uint64_t address)
{
	/* 64 bits of it: a table can have more places than 2^32 */
	return (address * 0x9e3779b97f4a7c15ull >> 20) & set->mask;
}

static int grow(struct live_set *set)
{
	size_t places = set->blocks ? (set->mask + 1) * 2 : FIRST_PLACES;
	struct live_set bigger = { calloc(places, sizeof(*set->blocks)), places - 1, set->used };

	if (!bigger.blocks)
		return -ENOMEM;
	for (size_t i = 0; set->blocks && i <= set->mask; i++) {
		if (!set->blocks[i].address)
			continue;

		size_t to = place_of(&bigger, set->blocks[i].address);

		while (bigger.blocks[to].address)
			to = (to + 1) & bigger.mask;
		bigger.blocks[to] = set->blocks[i];
	}
	free(set->blocks);
	*set = bigger;
	return 0;
}

int live_add(struct live_set *set, const struct live_block *block)
{
	size_t i;

	if (!set->blocks || set->used * 4 > set->mask * 3) {
		int error = grow(set);

		if (error)
			return error;
	}
	for (i = place_of(set, block->address); set->blocks[i].address; i = (i + 1) & set->mask)
		;
	set->blocks[i] = *block;
	set->used++;
	return 0;
}

/* Closes the gap at `hole`, so that no search ends too early. */
static void close_gap(struct live_set *set, size_t hole)
{
	for (size_t i = (hole + 1) & set->mask; set->blocks[i].address; i = (i + 1) & set->mask) {
		size_t home = place_of(set, set->blocks[i].address);

		if (((i - home) & set->mask) >= ((i - hole) & set->mask)) {
			set->blocks[hole] = set->blocks[i];
			hole = i;
		}
	}
	set->blocks[hole].address = 0;
	set->used--;
}

bool live_remove(struct live_set *set, uint64_t address, uint64_t at_ns)
{
	if (!set->blocks)
		return false;
	for (size_t i = place_of(set, address); set->blocks[i].address; i = (i + 1) & set->mask) {
		if (set->blocks[i].address != address ||
		    (at_ns != EVENT_TIME_UNKNOWN && set->blocks[i].at_ns != at_ns))
			continue;
		close_gap(set, i);
		return true;
	}
	return false;
}

void live_clear(struct live_set *set)
{
	free(set->blocks);
	*set = (struct live_set){ 0 };
}
