#include "tests/tools/heap_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory)
{
	if (!memory) {
		fprintf(stderr, "heap model: out of memory\n");
		exit(3);
	}
	return memory;
}

static size_t slot_of(uint64_t key, size_t capacity)
{
	return (size_t)((key * 0x9e3779b97f4a7c15ull) >> 20) & (capacity - 1);
}

void heap_init(struct heap_model *heap)
{
	memset(heap, 0, sizeof(*heap));
	heap->block_capacity = 1024;
	heap->page_capacity = 1024;
	heap->held_capacity = 64;
	heap->blocks = must(calloc(heap->block_capacity, sizeof(*heap->blocks)));
	heap->pages = must(calloc(heap->page_capacity, sizeof(*heap->pages)));
	heap->held = must(calloc(heap->held_capacity, sizeof(*heap->held)));
}

void heap_release(struct heap_model *heap)
{
	free(heap->blocks);
	free(heap->pages);
	free(heap->held);
}

static struct heap_block *block_slot(struct heap_model *heap, uint64_t address)
{
	size_t i = slot_of(address >> 4, heap->block_capacity);

	while (heap->blocks[i].address && heap->blocks[i].address != address)
		i = (i + 1) & (heap->block_capacity - 1);
	return &heap->blocks[i];
}

static void grow_blocks(struct heap_model *heap)
{
	struct heap_block *old = heap->blocks;
	size_t capacity = heap->block_capacity;

	heap->block_capacity *= 2;
	heap->blocks = must(calloc(heap->block_capacity, sizeof(*old)));
	for (size_t i = 0; i < capacity; i++)
		if (old[i].address)
			*block_slot(heap, old[i].address) = old[i];
	free(old);
}

/* Pages stay in the table when their last block goes: a heap uses the same ones again. */
static struct heap_page *page_slot(struct heap_model *heap, uint64_t number)
{
	size_t i = slot_of(number, heap->page_capacity);

	while (heap->pages[i].number && heap->pages[i].number != number)
		i = (i + 1) & (heap->page_capacity - 1);
	if (heap->pages[i].number)
		return &heap->pages[i];
	if (heap->page_count * 2 >= heap->page_capacity) {
		struct heap_page *old = heap->pages;
		size_t capacity = heap->page_capacity;

		heap->page_capacity *= 2;
		heap->pages = must(calloc(heap->page_capacity, sizeof(*old)));
		for (size_t k = 0; k < capacity; k++) {
			if (!old[k].number)
				continue;
			i = slot_of(old[k].number, heap->page_capacity);
			while (heap->pages[i].number)
				i = (i + 1) & (heap->page_capacity - 1);
			heap->pages[i] = old[k];
		}
		free(old);
		return page_slot(heap, number);
	}
	heap->page_count++;
	heap->pages[i].number = number;
	return &heap->pages[i];
}

/* Of a larger block only both ends are marked: half of this each. */
#define MARK_MOST ((uint64_t)256 << 20)

/* Sets or clears the granules of a block; false when one had that state already. */
static bool mark(struct heap_model *heap, const struct heap_block *block, bool live)
{
	uint64_t granule = block->address >> 4;
	uint64_t end = (block->address + (block->usable_bytes ? block->usable_bytes : 1) + 15) >> 4;
	uint64_t middle = (granule + (MARK_MOST / 2 >> 4)) & ~63ull;
	bool clean = true;

	while (granule < end) {
		struct heap_page *page = page_slot(heap, granule >> 8);
		unsigned bit = granule & 63;
		uint64_t count = 64 - bit < end - granule ? 64 - bit : end - granule;
		uint64_t mask = (count == 64 ? ~0ull : (1ull << count) - 1) << bit;
		uint64_t *word = &page->granules[(granule >> 6) & 3];

		if (live) {
			clean &= !(*word & mask);
			*word |= mask;
		} else {
			clean &= (*word & mask) == mask;
			*word &= ~mask;
		}
		granule += count;
		if (granule == middle && end - granule > MARK_MOST / 2 >> 4)
			granule = end - (MARK_MOST / 2 >> 4);
	}
	return clean;
}

const char *heap_add(struct heap_model *heap, const struct heap_block *block)
{
	struct heap_block *slot;
	const char *problem = NULL;

	if (heap->block_count * 2 >= heap->block_capacity)
		grow_blocks(heap);
	slot = block_slot(heap, block->address);
	if (slot->address)
		problem = "is live already";
	else
		heap->block_count++;
	*slot = *block;
	if (!mark(heap, block, true) && !problem)
		problem = "overlaps a live block";
	if (!problem && block->address % 16)
		problem = "is not aligned to 16 bytes";
	if (!problem && !heap->inherited_pages &&
	    !held_covers(heap, block->address, block->usable_bytes))
		problem = "is not in pages the allocator holds";
	return problem;
}

bool heap_remove(struct heap_model *heap, uint64_t address, struct heap_block *ret_block)
{
	struct heap_block *slot = block_slot(heap, address);
	size_t mask = heap->block_capacity - 1;
	size_t hole, i;

	if (!slot->address)
		return false;
	*ret_block = *slot;
	mark(heap, ret_block, false);
	heap->block_count--;
	hole = (size_t)(slot - heap->blocks);
	for (i = (hole + 1) & mask; heap->blocks[i].address; i = (i + 1) & mask) {
		size_t home = slot_of(heap->blocks[i].address >> 4, heap->block_capacity);

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			heap->blocks[hole] = heap->blocks[i];
			hole = i;
		}
	}
	heap->blocks[hole].address = 0;
	return true;
}

/* Index of the first range that ends above `address`. */
static size_t held_find(const struct heap_model *heap, uint64_t address)
{
	size_t low = 0, high = heap->held_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (heap->held[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void held_replace(struct heap_model *heap, size_t at, size_t remove,
			 const struct heap_range *with, size_t count)
{
	size_t after = heap->held_count - at - remove;

	while (heap->held_count + count > heap->held_capacity) {
		heap->held_capacity *= 2;
		heap->held = must(realloc(heap->held, heap->held_capacity * sizeof(*heap->held)));
	}
	memmove(heap->held + at + count, heap->held + at + remove, after * sizeof(*heap->held));
	if (count)
		memcpy(heap->held + at, with, count * sizeof(*with));
	heap->held_count += count;
	heap->held_count -= remove;
}

void held_remove(struct heap_model *heap, uint64_t start, uint64_t bytes)
{
	uint64_t end = start + bytes;
	size_t at = held_find(heap, start);

	while (at < heap->held_count && heap->held[at].start < end) {
		struct heap_range range = heap->held[at];
		struct heap_range rest[2];
		size_t count = 0;
		uint64_t from = range.start > start ? range.start : start;
		uint64_t to = range.end < end ? range.end : end;

		if (range.start < from)
			rest[count++] = (struct heap_range){ range.start, from };
		if (to < range.end)
			rest[count++] = (struct heap_range){ to, range.end };
		held_replace(heap, at, 1, rest, count);
		heap->held_bytes -= to - from;
		at += count;
	}
}

void held_add(struct heap_model *heap, uint64_t start, uint64_t bytes)
{
	struct heap_range range = { start, start + bytes };
	size_t at;

	if (!bytes)
		return;
	held_remove(heap, start, bytes);
	heap->held_bytes += bytes;
	if (heap->held_bytes > heap->peak_held_bytes)
		heap->peak_held_bytes = heap->held_bytes;
	at = held_find(heap, start);
	if (at > 0 && heap->held[at - 1].end == start) {
		range.start = heap->held[at - 1].start;
		held_replace(heap, at - 1, 1, NULL, 0);
		at--;
	}
	if (at < heap->held_count && heap->held[at].start == range.end) {
		range.end = heap->held[at].end;
		held_replace(heap, at, 1, NULL, 0);
	}
	held_replace(heap, at, 0, &range, 1);
}

bool held_covers(const struct heap_model *heap, uint64_t start, uint64_t bytes)
{
	size_t at = held_find(heap, start);

	return at < heap->held_count && heap->held[at].start <= start &&
	       heap->held[at].end >= start + bytes;
}
