/*
 * Compiled unwind rows by program counter, one table for the process. Entries are only ever added;
 * when an object goes away its entries' rows are zeroed and their places stay claimed. So a reader
 * needs no lock: a row it finds under its pc is the row for that pc.
 */
#ifndef HEAPTAPE_SHIM_ROW_CACHE_H
#define HEAPTAPE_SHIM_ROW_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROW_CACHE_BITS 16
#define ROW_CACHE_SLOTS ((size_t)1 << ROW_CACHE_BITS)

struct row_slot {
	uint64_t pc;
	uint64_t row; /* 0 until it is known */
};

extern struct row_slot ht_rows[ROW_CACHE_SLOTS];

static inline size_t row_slot_of(uint64_t pc)
{
	return (pc * 0x9e3779b97f4a7c15ull) >> (64 - ROW_CACHE_BITS);
}

/* Compiles the row for a return address, noting its module (shim/modules.h) on the way. keep: put
 * it in the table. */
uint64_t ht_row_make(uintptr_t pc, bool keep);

/* The row by which the frame that `pc`, a return address, lies in is left. Never 0. */
static inline uint64_t ht_row(uintptr_t pc, bool trust)
{
	const struct row_slot *slot = &ht_rows[row_slot_of(pc)];

	if (__builtin_expect(trust && __atomic_load_n(&slot->pc, __ATOMIC_RELAXED) == pc, 1)) {
		uint64_t row = __atomic_load_n(&slot->row, __ATOMIC_RELAXED);

		if (__builtin_expect(row != 0, 1))
			return row;
	}
	return ht_row_make(pc, trust);
}

/* Forgets the rows of places in [start, end). */
void ht_rows_drop(uintptr_t start, uintptr_t end);

#endif
