/*
 * A plain picture of a heap, for checking recorded ones: which blocks are live (by address), which
 * 16-byte granules they cover (so that an overlap is noticed), which ranges the allocator holds.
 */
#ifndef HEAPTAPE_TESTS_HEAP_MODEL_H
#define HEAPTAPE_TESTS_HEAP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_block {
	uint64_t address, size_bytes, usable_bytes, at_ns;
	uint32_t thread, stack_id;
};

struct heap_range {
	uint64_t start, end;
};

struct heap_page {
	uint64_t number; /* address >> 12; 0: free slot */
	uint64_t granules[4];
};

struct heap_model {
	struct heap_block *blocks; /* open addressing; address 0: free slot */
	size_t block_capacity, block_count;
	struct heap_page *pages;
	size_t page_capacity, page_count;
	struct heap_range *held; /* sorted, disjoint, not touching */
	size_t held_count, held_capacity;
	uint64_t held_bytes, peak_held_bytes;
	bool inherited_pages; /* blocks may lie in pages that are not known */
};

void heap_init(struct heap_model *heap);
void heap_release(struct heap_model *heap);

/* Adds a live block. NULL, or what is wrong with it (it is added all the same). */
const char *heap_add(struct heap_model *heap, const struct heap_block *block);

/* Takes the block at `address` out; false when there is none. */
bool heap_remove(struct heap_model *heap, uint64_t address, struct heap_block *ret_block);

void held_add(struct heap_model *heap, uint64_t start, uint64_t bytes);
void held_remove(struct heap_model *heap, uint64_t start, uint64_t bytes);
bool held_covers(const struct heap_model *heap, uint64_t start, uint64_t bytes);

#endif
