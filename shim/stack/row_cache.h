/*
 * Compiled unwind rows by return address, one table for the process. The walk's cost is the memory
 * this touches, so an entry is one word: the address, and how far up the caller's frame begins. That
 * is all the usual walk wants to know; the number of the row, of which even a large program has only
 * hundreds, lies beside the table. The table grows by copying into one twice the size; entries are
 * only ever added, and lose their row when their object goes away. So a reader needs no lock: what it
 * finds under an address is about that address.
 */
#ifndef HEAPTAPE_SHIM_STACK_ROW_CACHE_H
#define HEAPTAPE_SHIM_STACK_ROW_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/stack/select.h"

#define ROW_STEP_BITS 16
#define ROW_IDS 8192

/* The low bits of a slot: the row says "CFA = sp + n", n a multiple of 8; or something less. */
#define ROW_STEP_UNKNOWN 0 /* there is no row */
#define ROW_STEP_OTHER 1   /* it says something else */
#define ROW_STEP_LEAST 8
#define ROW_STEP_MOST ((1u << ROW_STEP_BITS) - 8)
#define ROW_STEP_MASK ((1u << ROW_STEP_BITS) - 1)

struct row_table {
	size_t mask;	 /* its slots, less 1 */
	uint64_t *slots; /* address << ROW_STEP_BITS | step */
	uint16_t *ids;	 /* rows by slot: numbers in ht_row_values */
};

extern struct row_table *ht_row_table;
extern uint64_t ht_row_values[ROW_IDS];

static inline size_t row_hash(uint64_t pc, size_t mask)
{
	return pc * 0x9e3779b97f4a7c15ull >> 32 & mask;
}

/* Compiles the row for a return address, noting its module (shim/stack/modules.h) on the way. keep: put
 * it in the table. */
uint64_t ht_row_make(uintptr_t pc, bool keep);

/* The same for a place a signal interrupted, plus 1; never kept. */
uint64_t ht_row_interrupted(uintptr_t pc);

/* The row by which the frame that `pc`, a return address, lies in is left. Never 0. */
static inline uint64_t ht_row(uintptr_t pc, bool trust)
{
	const struct row_table *table = __atomic_load_n(&ht_row_table, __ATOMIC_ACQUIRE);
	size_t at = row_hash(pc, table->mask);

	for (size_t end = at + 2; trust && at < end; at++) {
		uint64_t slot = __atomic_load_n(&table->slots[at], __ATOMIC_ACQUIRE);

		if (slot >> ROW_STEP_BITS == pc && slot & ROW_STEP_MASK)
			return ht_row_values[table->ids[at]];
	}
	return ht_row_make(pc, trust);
}

/*
 * How far up the caller's frame begins when the row for `pc` says "CFA = sp + n"; less than
 * ROW_STEP_LEAST: look at ht_row(). `slots` and `mask` are the table's.
 */
static inline size_t row_step_bytes(uintptr_t pc, const uint64_t *slots, size_t mask)
{
	const uint64_t *place = &slots[row_hash(pc, mask)];
	uint64_t slot = __atomic_load_n(&place[0], __ATOMIC_RELAXED);
	uint64_t second = __atomic_load_n(&place[1], __ATOMIC_RELAXED);

	/* Which of the two it is cannot be predicted. */
	slot = select_if_same(second >> ROW_STEP_BITS, pc, second, slot);
	return slot >> ROW_STEP_BITS == pc ? slot & ROW_STEP_MASK : 0;
}

/* Begins to fetch what both will look at. */
static inline void ht_row_prefetch(uintptr_t pc)
{
	const struct row_table *table = __atomic_load_n(&ht_row_table, __ATOMIC_ACQUIRE);

	__builtin_prefetch(&table->slots[row_hash(pc, table->mask)]);
}

/* Forgets the rows of places in [start, end). */
void ht_rows_drop(uintptr_t start, uintptr_t end);

#endif
