/*
 * Compiled unwind rows by return address, one table for the process. The walk's cost is the memory
 * this touches, so an entry is one word: the address and the number of its row, of which even a
 * large program has only hundreds. The table grows by copying into one twice the size; entries are
 * only ever added, and lose their row when their object goes away. So a reader needs no lock: a row
 * it finds under an address is the row for that address.
 */
#ifndef HEAPTAPE_SHIM_ROW_CACHE_H
#define HEAPTAPE_SHIM_ROW_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROW_ID_BITS 16
#define ROW_IDS 8192

struct row_table {
	unsigned shift;	 /* 64 - log2 of its slots */
	uint64_t *slots; /* address << ROW_ID_BITS | row id; row id 0: not known */
};

extern struct row_table *ht_row_table;
extern uint64_t ht_row_values[ROW_IDS];

static inline size_t row_hash(uint64_t pc, const struct row_table *table)
{
	return (pc * 0x9e3779b97f4a7c15ull) >> table->shift;
}

/* Compiles the row for a return address, noting its module (shim/modules.h) on the way. keep: put
 * it in the table. */
uint64_t ht_row_make(uintptr_t pc, bool keep);

/* The same for a place a signal interrupted, plus 1; never kept. */
uint64_t ht_row_interrupted(uintptr_t pc);

/* The row by which the frame that `pc`, a return address, lies in is left. Never 0. */
static inline uint64_t ht_row(uintptr_t pc, bool trust)
{
	const struct row_table *table = __atomic_load_n(&ht_row_table, __ATOMIC_ACQUIRE);
	const uint64_t *place = &table->slots[row_hash(pc, table)];
	uint64_t slot = __atomic_load_n(&place[0], __ATOMIC_RELAXED);
	uint64_t second = __atomic_load_n(&place[1], __ATOMIC_RELAXED);

	/* Chosen without a jump: which of the two it is cannot be predicted. */
	slot = second >> ROW_ID_BITS == pc ? second : slot;
	if (__builtin_expect(trust && slot >> ROW_ID_BITS == pc && (slot & (ROW_IDS - 1)), 1))
		return ht_row_values[slot & (ROW_IDS - 1)];
	return ht_row_make(pc, trust);
}

/* Begins to fetch what ht_row() will look at. */
static inline void ht_row_prefetch(uintptr_t pc)
{
	const struct row_table *table = __atomic_load_n(&ht_row_table, __ATOMIC_ACQUIRE);

	__builtin_prefetch(&table->slots[row_hash(pc, table)]);
}

/* Forgets the rows of places in [start, end). */
void ht_rows_drop(uintptr_t start, uintptr_t end);

#endif
