/* The virtual table `events`: every event, one row. */
#include "viewer/sqlite/sqlite_api.h"

#include <stdlib.h>
#include <string.h>

#include "proto/event.h"
#include "viewer/sqlite/constraint.h"
#include "viewer/sqlite/order.h"
#include "viewer/sqlite/tables.h"
#include "viewer/sqlite/vtab.h"

#define FREED_NEEDS (CHUNK_FREED | CHUNK_OLD | CHUNK_ADDRESS | CHUNK_STACK)

/*    NAME             declaration                        chunk column needed */
#define EVENT_COLUMNS(ROW)                                                   \
	ROW(RUN_ID, "run_id INTEGER", 0)                                     \
	ROW(PROCESS_ID, "process_id INTEGER", 0)                             \
	ROW(THREAD_ID, "thread_id INTEGER", CHUNK_THREAD)                    \
	ROW(SEQ, "seq INTEGER", CHUNK_SEQ)                                   \
	ROW(AT_NS, "at_ns INTEGER", CHUNK_AT_NS)                             \
	ROW(KIND, "kind TEXT", CHUNK_KIND)                                   \
	ROW(ORIGIN, "origin TEXT", CHUNK_KIND)                               \
	ROW(ADDRESS, "address INTEGER", CHUNK_ADDRESS)                       \
	ROW(SIZE_BYTES, "size_bytes INTEGER", CHUNK_SIZE)                    \
	ROW(USABLE_BYTES, "usable_bytes INTEGER", CHUNK_SIZE)                \
	ROW(STACK_ID, "stack_id INTEGER", CHUNK_STACK)                       \
	ROW(OLD_ADDRESS, "old_address INTEGER", CHUNK_OLD)                   \
	ROW(ALLOCATED_AT_NS, "allocated_at_ns INTEGER", CHUNK_ALLOCATED)     \
	ROW(ALLOCATED_BY, "allocated_by_thread_id INTEGER", CHUNK_ALLOCATED) \
	ROW(OLD_SIZE_BYTES, "old_size_bytes INTEGER", CHUNK_OLD)             \
	ROW(OLD_USABLE_BYTES, "old_usable_bytes INTEGER", CHUNK_OLD)         \
	ROW(OLD_STACK_ID, "old_stack_id INTEGER", CHUNK_OLD)                 \
	ROW(FREE_STACK_ID, "free_stack_id INTEGER", FREED_NEEDS)             \
	ROW(CHUNK_ID, "chunk_id INTEGER HIDDEN", 0)

enum event_column {
#define ROW(NAME, declaration, column) COLUMN_##NAME,
	EVENT_COLUMNS(ROW)
#undef ROW
		COLUMN_COUNT
};

static const unsigned column_needs[COLUMN_COUNT] = {
#define ROW(NAME, declaration, column) column,
	EVENT_COLUMNS(ROW)
#undef ROW
};

static const char declaration_sql[] = "CREATE TABLE events("
#define ROW(NAME, declaration, column) declaration ","
	EVENT_COLUMNS(ROW)
#undef ROW
		"CHECK(1))";

/* Columns whose constraints reach the chunks, and what one equality leaves of the rows. */
static const struct constraint_column pushed[] = {
	{ COLUMN_RUN_ID, 0.2, 0.2, false },	{ COLUMN_PROCESS_ID, 0.1, 0.1, false },
	{ COLUMN_THREAD_ID, 0.3, 0.5, false },	{ COLUMN_AT_NS, 0.0001, 0.02, false },
	{ COLUMN_KIND, 0.3, 0.8, false },	{ COLUMN_ADDRESS, 0.00005, 0.4, false },
	{ COLUMN_STACK_ID, 0.001, 0.4, false }, { -1, 0, 0, false },
};

/* Bits of idxNum above the chunk columns. */
#define PLAN_ORDERED (1 << 16)
#define PLAN_DESCENDING (1 << 17)

struct cursor {
	sqlite3_vtab_cursor base;
	struct scan scan;
	struct order order; /* PLAN_ORDERED */
	struct constraint_set set;
	bool ordered, descending;
	unsigned check; /* CHUNK_* bits of what rows of an opened chunk may not match */
	bool began;	/* the scan is in a process */
	bool done;
	/* the current row */
	const struct chunk_columns *columns;
	unsigned row;
	int64_t chunk_id;
};

static bool is_order(const sqlite3_index_info *info, int first, int column)
{
	return info->aOrderBy[first].iColumn == column &&
	       info->aOrderBy[first].desc == info->aOrderBy[0].desc;
}

/* Within one process events come in order of time, and processes in order of their number. */
static bool order_is_natural(const sqlite3_index_info *info, const int *usable_equal)
{
	if (info->nOrderBy == 1)
		return is_order(info, 0, COLUMN_AT_NS) && usable_equal[COLUMN_PROCESS_ID];
	if (info->nOrderBy == 2)
		return is_order(info, 0, COLUMN_PROCESS_ID) && is_order(info, 1, COLUMN_AT_NS);
	return false;
}

static int events_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
	struct vtab *table = (struct vtab *)base;
	int usable_equal[COLUMN_COUNT] = { 0 };
	unsigned needs = 0;

	for (int i = 0; i < COLUMN_COUNT; i++)
		if (info->colUsed & (1ull << i))
			needs |= column_needs[i];
	for (int i = 0; i < info->nConstraint; i++)
		if (info->aConstraint[i].usable && info->aConstraint[i].iColumn >= 0 &&
		    info->aConstraint[i].op == SQLITE_INDEX_CONSTRAINT_EQ)
			usable_equal[info->aConstraint[i].iColumn] = 1;
	if (table->rows <= 0)
		table->rows = constraint_rows(table->db);
	info->idxNum = (int)needs;
	if (order_is_natural(info, usable_equal)) {
		info->orderByConsumed = 1;
		info->idxNum |= PLAN_ORDERED | (info->aOrderBy[0].desc ? PLAN_DESCENDING : 0);
	}
	return constraint_plan(info, pushed, table->rows);
}

static int events_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret_cursor)
{
	((struct vtab *)base)->rows = 0;
	return vtab_open(sizeof(struct cursor), ret_cursor);
}

static int events_close(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;

	order_release(&cursor->order);
	scan_release(&cursor->scan);
	sqlite3_free(base);
	return SQLITE_OK;
}

static bool row_matches(const struct cursor *cursor)
{
	const struct chunk_columns *columns = cursor->columns;
	const struct constraint_set *set = &cursor->set;
	unsigned i = cursor->row, check = cursor->check;

	return (!(check & CHUNK_KIND) || set->kinds >> event_kind_of(columns->kind[i]) & 1) &&
	       (!(check & CHUNK_AT_NS) ||
		in_range(set->range[COLUMN_AT_NS], (int64_t)columns->at_ns[i])) &&
	       (!(check & CHUNK_STACK) ||
		in_range(set->range[COLUMN_STACK_ID], columns->stack_id[i])) &&
	       (!(check & CHUNK_ADDRESS) ||
		in_range(set->range[COLUMN_ADDRESS], (int64_t)columns->address[i])) &&
	       (!(check & CHUNK_THREAD) ||
		in_range(set->range[COLUMN_THREAD_ID],
			 scan_thread_id(&cursor->scan, columns->thread[i])));
}

/* The next row of the chunks at hand; false: they are through. */
static bool step(struct cursor *cursor)
{
	if (cursor->ordered) {
		if (!order_next(&cursor->order, cursor->descending))
			return false;
		cursor->columns = &cursor->order.parts[cursor->order.current].columns;
		cursor->chunk_id = cursor->order.parts[cursor->order.current].chunk_id;
		cursor->row = order_row(&cursor->order, cursor->descending);
		return true;
	}
	return ++cursor->row < cursor->scan.columns.events;
}

/* Loads the next chunk of this process or a later one, and stands before its first row. */
static int load(struct cursor *cursor)
{
	for (;;) {
		int rc = SQLITE_DONE;

		if (cursor->began)
			rc = cursor->ordered ? order_load(&cursor->order, &cursor->scan)
					     : scan_next_chunk(&cursor->scan);
		if (rc != SQLITE_DONE) {
			cursor->columns = &cursor->scan.columns;
			cursor->chunk_id = cursor->scan.chunk_id;
			cursor->row = UINT32_MAX;
			return rc;
		}
		rc = scan_next_process(&cursor->scan);
		if (rc != SQLITE_ROW)
			return rc;
		cursor->began = true;
	}
}

static int advance(struct cursor *cursor)
{
	for (;;) {
		int rc;

		while (cursor->began && step(cursor))
			if (!cursor->check || row_matches(cursor))
				return SQLITE_OK;
		rc = load(cursor);
		if (rc == SQLITE_DONE) {
			cursor->done = true;
			return SQLITE_OK;
		}
		if (rc != SQLITE_ROW)
			return vtab_fail(&cursor->base, &cursor->scan, rc);
	}
}

static int events_filter(sqlite3_vtab_cursor *base, int number, const char *plan, int argc,
			 sqlite3_value **argv)
{
	struct cursor *cursor = (struct cursor *)base;
	struct vtab *table = (struct vtab *)base->pVtab;
	unsigned wanted = (unsigned)number & CHUNK_ALL;
	struct scan_filter filter;
	int rc;

	scan_release(&cursor->scan);
	cursor->order.count = 0;
	cursor->began = false;
	cursor->done = constraint_set_load(&cursor->set, plan, argc, argv, COLUMN_KIND);
	if (cursor->done)
		return SQLITE_OK;
	cursor->ordered = number & PLAN_ORDERED;
	cursor->descending = number & PLAN_DESCENDING;
	filter = (struct scan_filter){
		.run = cursor->set.range[COLUMN_RUN_ID],
		.process = cursor->set.range[COLUMN_PROCESS_ID],
		.thread_id = cursor->set.range[COLUMN_THREAD_ID],
		.at_ns = cursor->set.range[COLUMN_AT_NS],
		.stack = cursor->set.range[COLUMN_STACK_ID],
		.address = cursor->set.range[COLUMN_ADDRESS],
		.known_ns = RANGE_ALL,
		.kinds = cursor->set.kinds,
		.descending = cursor->descending,
	};
	cursor->check = (filter.kinds != ~0u ? CHUNK_KIND : 0) |
			(range_is_all(filter.thread_id) ? 0 : CHUNK_THREAD) |
			(range_is_all(filter.at_ns) ? 0 : CHUNK_AT_NS) |
			(range_is_all(filter.stack) ? 0 : CHUNK_STACK) |
			(range_is_all(filter.address) ? 0 : CHUNK_ADDRESS);
	wanted |= cursor->check | (cursor->ordered ? CHUNK_AT_NS : 0);
	rc = scan_init(&cursor->scan, table->db, &table->spare, &filter, wanted);
	if (rc != SQLITE_OK)
		return vtab_fail(&cursor->base, &cursor->scan, rc);
	return advance(cursor);
}

static int events_next(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;

	if (!cursor->check && !cursor->ordered && ++cursor->row < cursor->scan.columns.events)
		return SQLITE_OK;
	if (!cursor->check && !cursor->ordered)
		cursor->row--;
	return advance(cursor);
}

static int events_eof(sqlite3_vtab_cursor *base)
{
	return ((struct cursor *)base)->done;
}

static void result_old(sqlite3_context *context, const struct chunk_columns *columns, unsigned i,
		       uint64_t value)
{
	if (columns->old_address[i])
		sqlite3_result_int64(context, (int64_t)value);
}

/* Where a block was freed; a realloc frees where it is called. */
static void result_freed(sqlite3_context *context, const struct chunk_columns *columns, unsigned i)
{
	uint32_t stack_id = columns->freed_stack_id[i];

	if (columns->old_address[i] && columns->address[i] &&
	    event_kind_of(columns->kind[i]) == EVENT_REALLOC)
		stack_id = columns->stack_id[i];
	if (stack_id)
		sqlite3_result_int64(context, stack_id);
}

static int events_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	const struct cursor *cursor = (const struct cursor *)base;
	const struct scan *scan = &cursor->scan;
	const struct chunk_columns *columns = cursor->columns;
	unsigned i = cursor->row;

	switch ((enum event_column)column) {
	case COLUMN_RUN_ID:
		sqlite3_result_int64(context, scan->process.run_id);
		break;
	case COLUMN_PROCESS_ID:
		sqlite3_result_int64(context, scan->process.process_id);
		break;
	case COLUMN_THREAD_ID:
		sqlite3_result_int64(context, scan_thread_id(scan, columns->thread[i]));
		break;
	case COLUMN_SEQ:
		sqlite3_result_int64(context, (int64_t)columns->seq[i]);
		break;
	case COLUMN_AT_NS:
		sqlite3_result_int64(context, (int64_t)columns->at_ns[i]);
		break;
	case COLUMN_KIND:
		sqlite3_result_text(context, event_kind_name(event_kind_of(columns->kind[i])), -1,
				    SQLITE_STATIC);
		break;
	case COLUMN_ORIGIN:
		sqlite3_result_text(context,
				    columns->kind[i] & EVENT_BY_ALLOCATOR ? "allocator" : "program",
				    -1, SQLITE_STATIC);
		break;
	case COLUMN_ADDRESS:
		sqlite3_result_int64(context, (int64_t)columns->address[i]);
		break;
	case COLUMN_SIZE_BYTES:
		sqlite3_result_int64(context, (int64_t)columns->size_bytes[i]);
		break;
	case COLUMN_USABLE_BYTES:
		sqlite3_result_int64(context, (int64_t)columns->usable_bytes[i]);
		break;
	case COLUMN_STACK_ID:
		sqlite3_result_int64(context, columns->stack_id[i]);
		break;
	case COLUMN_OLD_ADDRESS:
		result_old(context, columns, i, columns->old_address[i]);
		break;
	case COLUMN_OLD_SIZE_BYTES:
		result_old(context, columns, i, columns->old_size_bytes[i]);
		break;
	case COLUMN_OLD_USABLE_BYTES:
		result_old(context, columns, i, columns->old_usable_bytes[i]);
		break;
	case COLUMN_OLD_STACK_ID:
		result_old(context, columns, i, columns->old_stack_id[i]);
		break;
	case COLUMN_FREE_STACK_ID:
		result_freed(context, columns, i);
		break;
	case COLUMN_ALLOCATED_AT_NS:
		if (columns->allocated_by[i] && columns->allocated_at_ns[i] != EVENT_TIME_UNKNOWN)
			sqlite3_result_int64(context, (int64_t)columns->allocated_at_ns[i]);
		break;
	case COLUMN_ALLOCATED_BY:
		if (columns->allocated_by[i])
			sqlite3_result_int64(context,
					     scan_thread_id(scan, columns->allocated_by[i]));
		break;
	case COLUMN_CHUNK_ID:
		sqlite3_result_int64(context, cursor->chunk_id);
		break;
	case COLUMN_COUNT:
		break;
	}
	return SQLITE_OK;
}

static int events_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
	const struct cursor *cursor = (const struct cursor *)base;

	*ret_rowid = cursor->chunk_id * CHUNK_MAX_EVENTS + cursor->row;
	return SQLITE_OK;
}

int events_register(sqlite3 *db)
{
	static const sqlite3_module module = {
		.iVersion = 0,
		.xConnect = vtab_connect,
		.xBestIndex = events_best_index,
		.xDisconnect = vtab_disconnect,
		.xDestroy = vtab_disconnect,
		.xOpen = events_open,
		.xClose = events_close,
		.xFilter = events_filter,
		.xNext = events_next,
		.xEof = events_eof,
		.xColumn = events_column,
		.xRowid = events_rowid,
	};

	return vtab_register(db, "events", &module, declaration_sql);
}
