/* Runs of pages; see page_set.h. */
#include "viewer/sqlite/page_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Index of the first run that ends above `address`. */
static size_t first_above(const struct page_set *set, uint64_t address)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (set->runs[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static int make_room(struct page_set *set, size_t more)
{
	size_t capacity = set->capacity ? set->capacity : 64;
	struct page_run *runs;

	if (set->count + more <= set->capacity)
		return 0;
	while (capacity < set->count + more)
		capacity *= 2;
	runs = realloc(set->runs, capacity * sizeof(*runs));
	if (!runs)
		return -ENOMEM;
	set->runs = runs;
	set->capacity = capacity;
	return 0;
}

int page_set_assign(struct page_set *set, const struct page_run *run)
{
	struct page_run pieces[3];
	size_t first, last, count = 0;

	if (run->start >= run->end)
		return 0;
	if (make_room(set, 2))
		return -ENOMEM;
	first = first_above(set, run->start);
	for (last = first; last < set->count && set->runs[last].start < run->end; last++)
		;
	if (last > first && set->runs[first].start < run->start) {
		pieces[count] = set->runs[first];
		pieces[count++].end = run->start;
	}
	if (run->use != PAGES_GONE)
		pieces[count++] = *run;
	if (last > first && set->runs[last - 1].end > run->end) {
		pieces[count] = set->runs[last - 1];
		pieces[count++].start = run->end;
	}
	memmove(set->runs + first + count, set->runs + last,
		(set->count - last) * sizeof(*set->runs));
	memcpy(set->runs + first, pieces, count * sizeof(*pieces));
	set->count = set->count - (last - first) + count;
	return 0;
}

int page_set_change(struct page_set *set, enum page_use from, const struct page_run *run)
{
	uint64_t at = run->start;

	while (at < run->end) {
		size_t i = first_above(set, at);
		struct page_run piece = *run;

		if (i == set->count || set->runs[i].start >= run->end)
			return 0;
		piece.start = set->runs[i].start > at ? set->runs[i].start : at;
		piece.end = set->runs[i].end < run->end ? set->runs[i].end : run->end;
		at = piece.end;
		if (set->runs[i].use == from && page_set_assign(set, &piece))
			return -ENOMEM;
	}
	return 0;
}

struct page_run *page_set_find(const struct page_set *set, uint64_t address)
{
	size_t i = first_above(set, address);

	return i < set->count && set->runs[i].start <= address ? &set->runs[i] : NULL;
}

void page_set_clear(struct page_set *set)
{
	free(set->runs);
	*set = (struct page_set){ 0 };
}
