/*
 * What is remembered of blocks freed lately, where somebody asked for it (--free-stacks, --guard):
 * by address, the latest 65,536 or so. Without locks: an entry that is written while it is read, or
 * by two threads at once, does not add up and counts as none.
 */
#ifndef HEAPTAPE_SHIM_RECORD_FREED_H
#define HEAPTAPE_SHIM_RECORD_FREED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct freed_block {
	uint64_t address;
	uint64_t size_bytes;
	uint64_t stacks; /* where it was allocated << 32 | where it was freed */
	uint64_t check;
};

/* Empty in a child that fork made: its stacks have other numbers. NULL: nothing is remembered. */
extern struct freed_block *ht_freed;

/* Begins to remember, if there is memory for it. */
void ht_freed_init(void);

void ht_freed_add(uintptr_t address, size_t size_bytes, uint32_t allocated_stack,
		  uint32_t freed_stack);

/* False: not known. */
bool ht_freed_find(uintptr_t address, struct freed_block *ret);

#endif
