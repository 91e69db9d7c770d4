/* The table of compiled rows: see row_cache.h. */
#include <stdbool.h>

#include "shim/eh_frame.h"
#include "shim/modules.h"
#include "shim/row_cache.h"

#define PROBES 8

struct row_slot ht_rows[ROW_CACHE_SLOTS] __attribute__((aligned(4096)));

static uint64_t compile(uintptr_t pc)
{
	struct eh_object object;
	struct eh_row row;

	if (!ht_module_find(pc - 1, &object) || ht_eh_row(&object, pc - 1, &row) < 0)
		return ROW_MISSING;
	return ht_eh_compile(&row);
}

/* The slot for pc: its own or, claimed now, a free one. NULL: its neighbourhood is full. */
static struct row_slot *claim(uintptr_t pc)
{
	size_t at = row_slot_of(pc);

	for (unsigned i = 0; i < PROBES; i++) {
		struct row_slot *slot = &ht_rows[(at + i) & (ROW_CACHE_SLOTS - 1)];
		uint64_t found = __atomic_load_n(&slot->pc, __ATOMIC_RELAXED);

		if (found == 0 && __atomic_compare_exchange_n(&slot->pc, &found, pc, false,
							      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return slot;
		if (found == pc)
			return slot;
	}
	return NULL;
}

uint64_t ht_row_make(uintptr_t pc, bool keep)
{
	struct row_slot *slot;
	uint64_t row;

	if (!keep)
		return compile(pc);
	slot = claim(pc);
	if (!slot)
		return compile(pc);
	row = __atomic_load_n(&slot->row, __ATOMIC_RELAXED);
	if (!row) {
		row = compile(pc);
		/* A place outside of every object may belong to one that is loaded later. */
		if (row != ROW_MISSING)
			__atomic_store_n(&slot->row, row, __ATOMIC_RELAXED);
	}
	return row;
}

void ht_rows_drop(uintptr_t start, uintptr_t end)
{
	for (size_t i = 0; i < ROW_CACHE_SLOTS; i++)
		if (ht_rows[i].pc - 1 - start < end - start)
			__atomic_store_n(&ht_rows[i].row, 0, __ATOMIC_RELAXED);
}
