/* The table of compiled rows: see row_cache.h. */
#include <stdbool.h>

#include "shim/stack/eh_frame.h"
#include "shim/stack/modules.h"
#include "shim/stack/range.h"
#include "shim/stack/row_cache.h"

#define FIRST_BITS 11
#define MOST_BITS 22
#define PROBES 16 /* a place this far from where it belongs is not found */

static uint64_t first_slots[(1u << FIRST_BITS) + PROBES];
static uint16_t first_ids[(1u << FIRST_BITS) + PROBES];
static struct row_table tables[MOST_BITS + 1] = {
	[FIRST_BITS] = { ((size_t)1 << FIRST_BITS) - 1, first_slots, first_ids },
};

struct row_table *ht_row_table = &tables[FIRST_BITS];
uint64_t ht_row_values[ROW_IDS];
static uint32_t values_used = 1;
static bool growing; /* also held while rows are dropped */

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

static uint64_t compile(uintptr_t pc, bool interrupted)
{
	struct eh_object object;
	struct eh_row row;
	uint64_t compiled;
	int r;

	if (!pc || !ht_module_find(pc - 1, &object))
		return ROW_MISSING;
	r = ht_eh_row(&object, pc - 1, &row);
	if (!interrupted && (r < 0 || !follows_call(pc)) && is_planted(&object, pc))
		return ROW_END;
	if (r < 0)
		return ROW_MISSING;
	compiled = ht_eh_compile(&row);
	/* Such a frame may have given fp back already: unwind_slow.c looks. */
	if (interrupted && row_fp(compiled) == ROW_FP_AT_FP)
		return ROW_SLOW;
	return compiled;
}

/* The number of a row; 0: there are too many. Two threads may give one row two numbers. */
static uint32_t row_id(uint64_t row)
{
	uint32_t used = __atomic_load_n(&values_used, __ATOMIC_ACQUIRE), id;

	for (id = 1; id < used && id < ROW_IDS; id++)
		if (__atomic_load_n(&ht_row_values[id], __ATOMIC_RELAXED) == row)
			return id;
	id = used;
	do {
		if (id >= ROW_IDS)
			return 0;
	} while (!__atomic_compare_exchange_n(&values_used, &id, id + 1, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	__atomic_store_n(&ht_row_values[id], row, __ATOMIC_RELEASE);
	return id;
}

static unsigned row_step(uint64_t row)
{
	int64_t offset = row_kind(row) == ROW_SP ? row_cfa_offset(row) : 0;

	return offset % 8 == 0 && offset >= ROW_STEP_LEAST && offset <= (int64_t)ROW_STEP_MOST
		       ? (unsigned)offset
		       : ROW_STEP_OTHER;
}

/* Puts the row in the address's own or a free slot; false when there is none near. */
static bool table_put(struct row_table *table, uint64_t pc, uint32_t id)
{
	size_t at = row_hash(pc, table->mask);

	for (size_t end = at + PROBES; at < end; at++) {
		uint64_t *slot = &table->slots[at];
		uint64_t found = __atomic_load_n(slot, __ATOMIC_RELAXED);

		if (!found && __atomic_compare_exchange_n(slot, &found, pc << ROW_STEP_BITS, false,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			found = pc << ROW_STEP_BITS;
		if (found >> ROW_STEP_BITS != pc)
			continue;
		__atomic_store_n(&table->ids[at], (uint16_t)id, __ATOMIC_RELAXED);
		__atomic_store_n(slot, pc << ROW_STEP_BITS | row_step(ht_row_values[id]),
				 __ATOMIC_RELEASE);
		return true;
	}
	return false;
}

/* Everything in a table of twice the size: small steps, because a dense table stays in the cache.
 * What others add meanwhile is compiled again. */
static __attribute__((noinline, cold)) void table_grow(struct row_table *old)
{
	unsigned bits = (unsigned)__builtin_popcountll(old->mask);
	size_t slots = ((size_t)1 << (bits + 1)) + PROBES;
	struct row_table *table;

	if (bits + 1 > MOST_BITS || __atomic_exchange_n(&growing, true, __ATOMIC_ACQUIRE))
		return;
	table = &tables[bits + 1];
	if (ht_row_table == old) {
		table->mask = old->mask * 2 + 1;
		table->slots =
			ht_stack_table_pages(slots * (sizeof(*table->slots) + sizeof(*table->ids)));
		if (table->slots) {
			table->ids = (uint16_t *)(table->slots + slots);
			for (size_t i = 0; i < ((size_t)1 << bits) + PROBES; i++)
				if (old->slots[i] & ROW_STEP_MASK)
					table_put(table, old->slots[i] >> ROW_STEP_BITS,
						  old->ids[i]);
			__atomic_store_n(&ht_row_table, table, __ATOMIC_RELEASE);
		}
	}
	__atomic_store_n(&growing, false, __ATOMIC_RELEASE);
}

uint64_t ht_row_make(uintptr_t pc, bool keep)
{
	struct row_table *table = __atomic_load_n(&ht_row_table, __ATOMIC_ACQUIRE);
	size_t at = row_hash(pc, table->mask);
	uint64_t row;
	uint32_t id;

	if (!keep || pc >> (64 - ROW_STEP_BITS))
		return compile(pc, false);
	for (size_t end = at + PROBES; at < end; at++) {
		uint64_t found = __atomic_load_n(&table->slots[at], __ATOMIC_ACQUIRE);

		if (found >> ROW_STEP_BITS == pc && found & ROW_STEP_MASK)
			return ht_row_values[table->ids[at]];
		if (!found)
			break;
	}
	row = compile(pc, false);
	/* A place outside of every object may belong to one that is loaded later. */
	if (row == ROW_MISSING)
		return row;
	id = row_id(row);
	if (id && !table_put(table, pc, id))
		table_grow(table);
	return row;
}

uint64_t ht_row_interrupted(uintptr_t pc)
{
	return compile(pc, true);
}

void ht_rows_drop(uintptr_t start, uintptr_t end)
{
	while (__atomic_exchange_n(&growing, true, __ATOMIC_ACQUIRE))
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	for (unsigned bits = FIRST_BITS; bits <= MOST_BITS; bits++) {
		struct row_table *table = &tables[bits];

		if (!table->slots)
			continue;
		for (size_t i = 0; i < ((size_t)1 << bits) + PROBES; i++) {
			uint64_t pc = table->slots[i] >> ROW_STEP_BITS;

			if (pc - 1 - start < end - start)
				__atomic_store_n(&table->slots[i], pc << ROW_STEP_BITS,
						 __ATOMIC_RELAXED);
		}
	}
	__atomic_store_n(&growing, false, __ATOMIC_RELEASE);
}
