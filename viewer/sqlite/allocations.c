/*
 * The virtual table `allocations`: every block that was ever handed out, one row per life.
 *
 * Blocks that were freed need no matching: the free event carries the whole allocation. Blocks
 * still live are what remains when all events of the process are replayed into a live set. Its
 * memory is bounded: a process with more live blocks than LIVE_MOST is replayed several times, each
 * time for a part of the addresses.
 *
 * After a time without recording (table gaps) the process lists what is live. A block that was live
 * before and is not listed vanished in the gap: its freed_at_ns is the gap's end, by then it was
 * gone, and nobody knows when and by whom it was freed: lifetime_ns and freed_by_thread_id are NULL.
 * Of a block that was listed and never recorded before, thread_id and allocated_at_ns are NULL, and
 * listed_at_ns says since when it is known.
 */
#include "viewer/sqlite/sqlite_api.h"

#include <stdlib.h>
#include <string.h>

#include "proto/event.h"
#include "viewer/sqlite/constraint.h"
#include "viewer/sqlite/live.h"
#include "viewer/sqlite/tables.h"
#include "viewer/sqlite/vtab.h"

#define LIVE_MOST (4 << 20)
/* Frees stored before their allocation (late events); they wait here for it. */
#define EARLY_MOST (1 << 20)

/* Name, declaration. */
#define ALLOCATION_COLUMNS(ROW)                               \
	ROW(RUN_ID, "run_id INTEGER")                         \
	ROW(PROCESS_ID, "process_id INTEGER")                 \
	ROW(THREAD_ID, "thread_id INTEGER")                   \
	ROW(ADDRESS, "address INTEGER")                       \
	ROW(SIZE_BYTES, "size_bytes INTEGER")                 \
	ROW(USABLE_BYTES, "usable_bytes INTEGER")             \
	ROW(STACK_ID, "stack_id INTEGER")                     \
	ROW(ALLOCATED_AT_NS, "allocated_at_ns INTEGER")       \
	ROW(FREED_AT_NS, "freed_at_ns INTEGER")               \
	ROW(LIFETIME_NS, "lifetime_ns INTEGER")               \
	ROW(FREED_BY_THREAD_ID, "freed_by_thread_id INTEGER") \
	ROW(FREED_STACK_ID, "freed_stack_id INTEGER")         \
	ROW(LISTED_AT_NS, "listed_at_ns INTEGER")

enum allocation_column {
#define ROW(NAME, declaration) COLUMN_##NAME,
	ALLOCATION_COLUMNS(ROW)
#undef ROW
		COLUMN_COUNT
};

static const char declaration_sql[] = "CREATE TABLE allocations("
#define ROW(NAME, declaration) declaration ","
	ALLOCATION_COLUMNS(ROW)
#undef ROW
		"CHECK(1))";

static const struct constraint_column pushed[] = {
	{ COLUMN_RUN_ID, 0.2, 0.2, false },
	{ COLUMN_PROCESS_ID, 0.1, 0.1, false },
	{ COLUMN_ADDRESS, 0.00005, 0.4, false },
	{ COLUMN_SIZE_BYTES, 0.02, 0.9, false },
	{ COLUMN_STACK_ID, 0.001, 0.4, false },
	{ COLUMN_ALLOCATED_AT_NS, 0.0001, 0.1, false },
	{ COLUMN_FREED_AT_NS, 0.0001, 0.05, true },
	{ COLUMN_LIFETIME_NS, 0.001, 0.9, true },
	{ COLUMN_FREED_BY_THREAD_ID, 0.3, 0.9, true },
	{ COLUMN_FREED_STACK_ID, 0.001, 0.9, true },
	{ -1, 0, 0, false },
};

struct cursor {
	sqlite3_vtab_cursor base;
	struct scan scan;
	struct constraint_set set;
	bool want_live, want_freed;
	bool began, done;
	unsigned pass, passes; /* of the current process */
	unsigned row;	       /* of the current chunk */
	struct live_set live, early;
	bool track;    /* the live set is kept: live rows are wanted, or there are gaps */
	int64_t *gaps; /* of the current process: when each ended, in order */
	size_t gap_count, gap_at; /* those before the event at hand */
	bool drain;		  /* the process's events are through: rows come from `live` */
	size_t drained;
	/* the current row */
	struct live_block block;
	uint64_t freed_at_ns;
	uint32_t freed_by; /* 0: live, or vanished */
	bool vanished;
	uint32_t freed_stack_id;
};

static int allocations_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
	struct vtab *table = (struct vtab *)base;

	if (table->rows <= 0)
		table->rows = constraint_rows(table->db);
	return constraint_plan(info, pushed, table->rows / 2);
}

static int allocations_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret_cursor)
{
	((struct vtab *)base)->rows = 0;
	return vtab_open(sizeof(struct cursor), ret_cursor);
}

static void cursor_reset(struct cursor *cursor)
{
	scan_release(&cursor->scan);
	live_clear(&cursor->live);
	live_clear(&cursor->early);
	free(cursor->gaps);
	cursor->gaps = NULL;
	cursor->gap_count = cursor->gap_at = 0;
	cursor->began = cursor->done = cursor->drain = false;
}

static int allocations_close(sqlite3_vtab_cursor *base)
{
	cursor_reset((struct cursor *)base);
	sqlite3_free(base);
	return SQLITE_OK;
}

/* Whether an allocation is asked for; the same answer when it is made and when it is freed. */
static bool block_matches(const struct cursor *cursor, const struct live_block *block)
{
	const struct constraint_set *set = &cursor->set;

	return (cursor->passes <= 1 || (block->address >> 4) % cursor->passes == cursor->pass) &&
	       (block->at_ns == EVENT_TIME_UNKNOWN || !block->thread ||
		in_range(set->range[COLUMN_ALLOCATED_AT_NS], (int64_t)block->at_ns)) &&
	       in_range(set->range[COLUMN_ADDRESS], (int64_t)block->address) &&
	       in_range(set->range[COLUMN_STACK_ID], block->stack_id) &&
	       in_range(set->range[COLUMN_SIZE_BYTES], (int64_t)block->size_bytes);
}

/* Takes in event `i`; true when it ends an allocation that is now the current row. */
static bool take_event(struct cursor *cursor, unsigned i, int *error)
{
	const struct chunk_columns *columns = &cursor->scan.columns;
	unsigned kind = event_kind_of(columns->kind[i]);
	bool ends = false;

	while (cursor->gap_at < cursor->gap_count &&
	       (int64_t)columns->at_ns[i] >= cursor->gaps[cursor->gap_at])
		cursor->gap_at++;
	if (!event_is_block((uint8_t)kind))
		return false;
	/* A request that was refused ends nothing. */
	if (kind == EVENT_FREE ||
	    (kind == EVENT_REALLOC && columns->old_address[i] && columns->address[i])) {
		struct live_block block = {
			.at_ns = columns->allocated_at_ns[i],
			.thread = columns->allocated_by[i],
			.address = columns->address[i],
			.size_bytes = columns->size_bytes[i],
			.usable_bytes = columns->usable_bytes[i],
			.stack_id = columns->stack_id[i],
		};

		if (kind == EVENT_REALLOC) {
			block.address = columns->old_address[i];
			block.size_bytes = columns->old_size_bytes[i];
			block.usable_bytes = columns->old_usable_bytes[i];
			block.stack_id = columns->old_stack_id[i];
		}
		if (block_matches(cursor, &block)) {
			if (cursor->track &&
			    !live_remove(&cursor->live, block.address, block.at_ns) &&
			    block.at_ns != EVENT_TIME_UNKNOWN && cursor->early.used < EARLY_MOST)
				*error = live_add(&cursor->early, &block);
			ends = cursor->want_freed && in_range(cursor->set.range[COLUMN_FREED_AT_NS],
							      (int64_t)columns->at_ns[i]);
			cursor->block = block;
			cursor->freed_at_ns = columns->at_ns[i];
			cursor->freed_by = columns->thread[i];
			cursor->vanished = false;
			cursor->freed_stack_id = kind == EVENT_FREE ? columns->freed_stack_id[i]
								    : columns->stack_id[i];
		}
	}
	if (kind != EVENT_FREE && cursor->track && columns->address[i]) {
		struct live_block block = {
			.address = columns->address[i],
			.at_ns = columns->at_ns[i],
			.size_bytes = columns->size_bytes[i],
			.usable_bytes = columns->usable_bytes[i],
			.stack_id = columns->stack_id[i],
			.thread = columns->thread[i],
			.gap = (uint32_t)cursor->gap_at,
		};

		if (kind == EVENT_LIVE && columns->old_address[i]) {
			block.at_ns = columns->allocated_at_ns[i];
			block.thread = columns->allocated_by[i];
			live_remove(&cursor->live, block.address, block.at_ns);
		} else if (kind == EVENT_LIVE) {
			block.thread = 0;
		}
		if (block_matches(cursor, &block) &&
		    !live_remove(&cursor->early, block.address, block.at_ns) && !*error)
			*error = live_add(&cursor->live, &block);
	}
	return ends;
}

/* The next block of the live set that is wanted becomes the current row. */
static bool drain_next(struct cursor *cursor)
{
	while (cursor->live.blocks && cursor->drained <= cursor->live.mask) {
		cursor->block = cursor->live.blocks[cursor->drained++];
		cursor->freed_by = 0;
		cursor->freed_stack_id = 0;
		cursor->vanished = cursor->block.gap < cursor->gap_count;
		if (!cursor->block.address)
			continue;
		if (!cursor->vanished && cursor->want_live)
			return true;
		if (!cursor->vanished || !cursor->want_freed)
			continue;
		cursor->freed_at_ns = (uint64_t)cursor->gaps[cursor->block.gap];
		if (in_range(cursor->set.range[COLUMN_FREED_AT_NS], (int64_t)cursor->freed_at_ns))
			return true;
	}
	return false;
}

/* When the gaps of the current process ended. A file from before there were gaps has none. */
static int gaps_load(struct cursor *cursor)
{
	struct scan *scan = &cursor->scan;
	sqlite3_stmt *row;

	free(cursor->gaps);
	cursor->gaps = NULL;
	cursor->gap_count = cursor->gap_at = 0;
	if (scan_statement(scan->db, &scan->statements, SCAN_GAPS, &row) != SQLITE_OK)
		return SQLITE_OK;
	sqlite3_bind_int64(row, 1, scan->process.process_id);
	while (sqlite3_step(row) == SQLITE_ROW) {
		int64_t *more = realloc(cursor->gaps, (cursor->gap_count + 1) * sizeof(*more));

		if (!more) {
			sqlite3_reset(row);
			return SQLITE_NOMEM;
		}
		cursor->gaps = more;
		cursor->gaps[cursor->gap_count++] = sqlite3_column_int64(row, 0);
	}
	return sqlite3_reset(row);
}

static bool any_gap(struct vtab *table)
{
	sqlite3_stmt *row;
	bool any;

	if (scan_statement(table->db, &table->spare, SCAN_ANY_GAP, &row) != SQLITE_OK)
		return false;
	any = sqlite3_step(row) == SQLITE_ROW;
	sqlite3_reset(row);
	return any;
}

static int advance(struct cursor *cursor)
{
	for (;;) {
		int rc = SQLITE_DONE, error = 0;

		if (cursor->drain) {
			if (drain_next(cursor))
				return SQLITE_OK;
			live_clear(&cursor->live);
			live_clear(&cursor->early);
			cursor->drain = false;
			cursor->gap_at = 0;
			if (++cursor->pass < cursor->passes) {
				scan_rewind_process(&cursor->scan);
				continue;
			}
			cursor->began = false;
		}
		if (!cursor->began) {
			rc = scan_next_process(&cursor->scan);
			if (rc == SQLITE_DONE) {
				cursor->done = true;
				return SQLITE_OK;
			}
			if (rc != SQLITE_ROW)
				return vtab_fail(&cursor->base, &cursor->scan, rc);
			cursor->began = true;
			cursor->pass = 0;
			cursor->passes = 1;
			rc = gaps_load(cursor);
			if (rc != SQLITE_OK)
				return rc;
			cursor->track =
				cursor->want_live || (cursor->want_freed && cursor->gap_count);
			if (cursor->track && cursor->scan.process.peak_blocks > LIVE_MOST)
				cursor->passes =
					(unsigned)(cursor->scan.process.peak_blocks / LIVE_MOST +
						   1);
			cursor->row = 0;
			cursor->scan.columns.events = 0;
		}
		while (cursor->row < cursor->scan.columns.events) {
			bool ends = take_event(cursor, cursor->row++, &error);

			if (error)
				return SQLITE_NOMEM;
			if (ends)
				return SQLITE_OK;
		}
		rc = scan_next_chunk(&cursor->scan);
		cursor->row = 0;
		if (rc == SQLITE_DONE) {
			cursor->scan.columns.events = 0;
			cursor->drain = true;
			cursor->drained = 0;
		} else if (rc != SQLITE_ROW) {
			return vtab_fail(&cursor->base, &cursor->scan, rc);
		}
	}
}

static int allocations_filter(sqlite3_vtab_cursor *base, int number, const char *plan, int argc,
			      sqlite3_value **argv)
{
	struct cursor *cursor = (struct cursor *)base;
	struct vtab *table = (struct vtab *)base->pVtab;
	const struct constraint_set *set = &cursor->set;
	struct scan_filter filter;
	bool replay;
	int rc;

	(void)number;
	cursor_reset(cursor);
	cursor->done = constraint_set_load(&cursor->set, plan, argc, argv, -1);
	if (cursor->done)
		return SQLITE_OK;
	cursor->want_live = cursor->want_freed = true;
	for (const char *at = plan; at && *at; at += 2) {
		int column = at[0] - 'A';

		if (column != COLUMN_FREED_AT_NS && column != COLUMN_LIFETIME_NS &&
		    column != COLUMN_FREED_BY_THREAD_ID && column != COLUMN_FREED_STACK_ID)
			continue;
		/* those are NULL in live rows, and no comparison with NULL is true */
		if (at[1] != 'n')
			cursor->want_live = false;
		else if (column == COLUMN_FREED_AT_NS)
			cursor->want_freed = false;
	}
	/* Who vanished in a gap is found like who is live. */
	replay = cursor->want_live || any_gap(table);
	filter = (struct scan_filter){
		.run = set->range[COLUMN_RUN_ID],
		.process = set->range[COLUMN_PROCESS_ID],
		.thread_id = RANGE_ALL,
		.at_ns = replay ? RANGE_ALL : set->range[COLUMN_FREED_AT_NS],
		.known_ns = set->range[COLUMN_ALLOCATED_AT_NS],
		.stack = set->range[COLUMN_STACK_ID],
		.address = set->range[COLUMN_ADDRESS],
		.kinds = 1u << EVENT_FREE | 1u << EVENT_REALLOC,
	};
	if (replay)
		filter.kinds |= 1u << EVENT_MALLOC | 1u << EVENT_CALLOC | 1u << EVENT_MEMALIGN |
				1u << EVENT_LIVE;
	rc = scan_init(&cursor->scan, table->db, &table->spare, &filter,
		       CHUNK_ALL & ~(unsigned)CHUNK_SEQ);
	if (rc != SQLITE_OK)
		return vtab_fail(&cursor->base, &cursor->scan, rc);
	return advance(cursor);
}

static int allocations_next(sqlite3_vtab_cursor *base)
{
	return advance((struct cursor *)base);
}

static int allocations_eof(sqlite3_vtab_cursor *base)
{
	return ((struct cursor *)base)->done;
}

static int allocations_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	const struct cursor *cursor = (const struct cursor *)base;
	const struct live_block *block = &cursor->block;
	bool known = block->at_ns != EVENT_TIME_UNKNOWN && block->thread;

	switch ((enum allocation_column)column) {
	case COLUMN_RUN_ID:
		sqlite3_result_int64(context, cursor->scan.process.run_id);
		break;
	case COLUMN_PROCESS_ID:
		sqlite3_result_int64(context, cursor->scan.process.process_id);
		break;
	case COLUMN_THREAD_ID:
		if (block->thread)
			sqlite3_result_int64(context, scan_thread_id(&cursor->scan, block->thread));
		break;
	case COLUMN_ADDRESS:
		sqlite3_result_int64(context, (int64_t)block->address);
		break;
	case COLUMN_SIZE_BYTES:
		sqlite3_result_int64(context, (int64_t)block->size_bytes);
		break;
	case COLUMN_USABLE_BYTES:
		sqlite3_result_int64(context, (int64_t)block->usable_bytes);
		break;
	case COLUMN_STACK_ID:
		sqlite3_result_int64(context, block->stack_id);
		break;
	case COLUMN_ALLOCATED_AT_NS:
		if (known)
			sqlite3_result_int64(context, (int64_t)block->at_ns);
		break;
	case COLUMN_FREED_AT_NS:
		if (cursor->freed_by || cursor->vanished)
			sqlite3_result_int64(context, (int64_t)cursor->freed_at_ns);
		break;
	case COLUMN_LIFETIME_NS:
		if (cursor->freed_by && known)
			sqlite3_result_int64(context,
					     (int64_t)(cursor->freed_at_ns - block->at_ns));
		break;
	case COLUMN_FREED_BY_THREAD_ID:
		if (cursor->freed_by)
			sqlite3_result_int64(context,
					     scan_thread_id(&cursor->scan, cursor->freed_by));
		break;
	case COLUMN_FREED_STACK_ID:
		if (cursor->freed_by && cursor->freed_stack_id)
			sqlite3_result_int64(context, cursor->freed_stack_id);
		break;
	case COLUMN_LISTED_AT_NS:
		if (!block->thread && block->at_ns != EVENT_TIME_UNKNOWN)
			sqlite3_result_int64(context, (int64_t)block->at_ns);
		break;
	case COLUMN_COUNT:
		break;
	}
	return SQLITE_OK;
}

static int allocations_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
	const struct cursor *cursor = (const struct cursor *)base;
	const struct live_block *block = &cursor->block;
	const uint64_t values[] = { (uint64_t)cursor->scan.process.process_id,
				    block->address,
				    block->at_ns,
				    cursor->freed_by ? cursor->freed_at_ns : EVENT_TIME_UNKNOWN,
				    cursor->freed_by,
				    block->thread };

	*ret_rowid = scan_row_id(values, sizeof(values) / sizeof(values[0]));
	return SQLITE_OK;
}

int allocations_register(sqlite3 *db)
{
	static const sqlite3_module module = {
		.iVersion = 0,
		.xConnect = vtab_connect,
		.xBestIndex = allocations_best_index,
		.xDisconnect = vtab_disconnect,
		.xDestroy = vtab_disconnect,
		.xOpen = allocations_open,
		.xClose = allocations_close,
		.xFilter = allocations_filter,
		.xNext = allocations_next,
		.xEof = allocations_eof,
		.xColumn = allocations_column,
		.xRowid = allocations_rowid,
	};

	return vtab_register(db, "allocations", &module, declaration_sql);
}
