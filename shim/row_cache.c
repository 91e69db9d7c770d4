/* The table of compiled rows: see row_cache.h. */
#include <stdbool.h>

#include "shim/eh_frame.h"
#include "shim/modules.h"
#include "shim/row_cache.h"

#define PROBES 8

struct row_slot ht_rows[ROW_CACHE_SLOTS] __attribute__((aligned(4096)));

#if defined(__x86_64__)
/* True when what ends before pc can be a call instruction: direct, or by register or memory. */
static bool follows_call(uintptr_t pc)
{
	const uint8_t *code = (const uint8_t *)pc;

	if (code[-5] == 0xe8)
		return true;
	for (int bytes = 2; bytes <= 7; bytes++)
		if (code[-bytes] == 0xff && (code[1 - bytes] >> 3 & 7) == 2)
			return true;
	return false;
}
#else
static bool follows_call(uintptr_t pc)
{
	(void)pc;
	return true;
}
#endif

/*
 * A return address that no call left behind but that begins a function was put there by hand, to
 * start a coroutine (makecontext does): there is no caller beyond.
 */
static bool is_planted(const struct eh_object *object, uintptr_t pc)
{
	struct eh_row row;

	return pc < object->end && ht_eh_row(object, pc, &row) == 0 && row.function == pc &&
	       !follows_call(pc);
}

static uint64_t compile(uintptr_t pc)
{
	struct eh_object object;
	struct eh_row row;

	if (!ht_module_find(pc - 1, &object))
		return ROW_MISSING;
	if (is_planted(&object, pc))
		return ROW_END;
	if (ht_eh_row(&object, pc - 1, &row) < 0)
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
