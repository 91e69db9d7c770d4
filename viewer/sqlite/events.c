/* The virtual table `events`: every event, one row. */
#include "viewer/sqlite/sqlite_api.h"

#include <stdlib.h>
#include <string.h>

#include "proto/event.h"
#include "viewer/sqlite/constraint.h"
#include "viewer/sqlite/scan.h"
#include "viewer/sqlite/tables.h"

/*    NAME             declaration                        chunk column needed */
#define EVENT_COLUMNS(ROW)                                                      \
	ROW(RUN_ID, "run_id INTEGER", 0)                                        \
	ROW(PROCESS_ID, "process_id INTEGER", 0)                                \
	ROW(THREAD_ID, "thread_id INTEGER", CHUNK_THREAD)                       \
	ROW(SEQ, "seq INTEGER", CHUNK_SEQ)                                      \
	ROW(AT_NS, "at_ns INTEGER", CHUNK_AT_NS)                                \
	ROW(KIND, "kind TEXT", CHUNK_KIND)                                      \
	ROW(ORIGIN, "origin TEXT", CHUNK_KIND)                                  \
	ROW(ADDRESS, "address INTEGER", CHUNK_ADDRESS)                          \
	ROW(SIZE_BYTES, "size_bytes INTEGER", CHUNK_SIZE)                       \
	ROW(USABLE_BYTES, "usable_bytes INTEGER", CHUNK_SIZE)                   \
	ROW(STACK_ID, "stack_id INTEGER", CHUNK_STACK)                          \
	ROW(OLD_ADDRESS, "old_address INTEGER", CHUNK_OLD)                      \
	ROW(ALLOCATED_AT_NS, "allocated_at_ns INTEGER", CHUNK_ALLOCATED)        \
	ROW(ALLOCATED_BY, "allocated_by_thread_id INTEGER", CHUNK_ALLOCATED)    \
	ROW(OLD_SIZE_BYTES, "old_size_bytes INTEGER", CHUNK_OLD)                \
	ROW(OLD_USABLE_BYTES, "old_usable_bytes INTEGER", CHUNK_OLD)            \
	ROW(OLD_STACK_ID, "old_stack_id INTEGER", CHUNK_OLD)                    \
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
	{COLUMN_RUN_ID, 0.2, 0.2, false},     {COLUMN_PROCESS_ID, 0.1, 0.1, false},
	{COLUMN_THREAD_ID, 0.3, 0.5, false},  {COLUMN_AT_NS, 0.0001, 0.02, false},
	{COLUMN_KIND, 0.3, 0.8, false},       {COLUMN_ADDRESS, 0.00005, 0.4, false},
	{COLUMN_STACK_ID, 0.001, 0.4, false}, {-1, 0, 0, false},
};

struct table {
	sqlite3_vtab base;
	sqlite3 *db;
	double rows;
};

struct cursor {
	sqlite3_vtab_cursor base;
	struct scan scan;
	struct constraint_set set;
	bool check; /* rows of an opened chunk may not match */
	bool began; /* the scan is in a process */
	bool done;
	unsigned row;
};

static int events_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
			  sqlite3_vtab **ret_table, char **error)
{
	struct table *table;
	int rc = sqlite3_declare_vtab(db, declaration_sql);

	(void)aux, (void)argc, (void)argv, (void)error;
	if (rc != SQLITE_OK)
		return rc;
	table = sqlite3_malloc(sizeof(*table));
	if (!table)
		return SQLITE_NOMEM;
	memset(table, 0, sizeof(*table));
	table->db = db;
	sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
	*ret_table = &table->base;
	return SQLITE_OK;
}

static int events_disconnect(sqlite3_vtab *base)
{
	sqlite3_free(base);
	return SQLITE_OK;
}

static int events_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
	struct table *table = (struct table *)base;
	unsigned needs = 0;

	for (int i = 0; i < COLUMN_COUNT; i++)
		if (info->colUsed & (1ull << i))
			needs |= column_needs[i];
	if (table->rows <= 0)
		table->rows = constraint_rows(table->db);
	info->idxNum = (int)needs;
	return constraint_plan(info, pushed, table->rows);
}

static int events_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret_cursor)
{
	struct cursor *cursor = sqlite3_malloc(sizeof(*cursor));

	if (!cursor)
		return SQLITE_NOMEM;
	memset(cursor, 0, sizeof(*cursor));
	((struct table *)base)->rows = 0;
	*ret_cursor = &cursor->base;
	return SQLITE_OK;
}

static int events_close(sqlite3_vtab_cursor *base)
{
	scan_release(&((struct cursor *)base)->scan);
	sqlite3_free(base);
	return SQLITE_OK;
}

static bool row_matches(const struct cursor *cursor, unsigned i)
{
	const struct chunk_columns *columns = &cursor->scan.columns;
	const struct constraint_set *set = &cursor->set;

	return (!columns->kind || set->kinds >> event_kind_of(columns->kind[i]) & 1) &&
	       in_range(set->range[COLUMN_AT_NS], (int64_t)columns->at_ns[i]) &&
	       in_range(set->range[COLUMN_STACK_ID], columns->stack_id[i]) &&
	       in_range(set->range[COLUMN_ADDRESS], (int64_t)columns->address[i]) &&
	       in_range(set->range[COLUMN_THREAD_ID],
			scan_thread_id(&cursor->scan, columns->thread[i]));
}

static int table_fail(struct cursor *cursor, int rc)
{
	sqlite3_vtab *base = cursor->base.pVtab;

	if (cursor->scan.error) {
		sqlite3_free(base->zErrMsg);
		base->zErrMsg = cursor->scan.error;
		cursor->scan.error = NULL;
	}
	return rc;
}

/* From `cursor->row` on, the first row that matches, in this chunk or a later one. */
static int settle(struct cursor *cursor)
{
	for (;;) {
		if (cursor->check)
			while (cursor->row < cursor->scan.columns.events &&
			       !row_matches(cursor, cursor->row))
				cursor->row++;
		if (cursor->row < cursor->scan.columns.events)
			return SQLITE_OK;

		int rc = SQLITE_DONE;

		if (cursor->began)
			rc = scan_next_chunk(&cursor->scan);
		if (rc == SQLITE_DONE) {
			rc = scan_next_process(&cursor->scan);
			if (rc == SQLITE_DONE) {
				cursor->done = true;
				return SQLITE_OK;
			}
			cursor->began = true;
			if (rc == SQLITE_ROW)
				continue;
		}
		if (rc != SQLITE_ROW)
			return table_fail(cursor, rc);
		cursor->row = 0;
	}
}

static int events_filter(sqlite3_vtab_cursor *base, int needs, const char *plan, int argc,
			 sqlite3_value **argv)
{
	struct cursor *cursor = (struct cursor *)base;
	struct table *table = (struct table *)base->pVtab;
	struct scan_filter filter;
	int rc;

	scan_release(&cursor->scan);
	cursor->row = 0;
	cursor->began = false;
	cursor->done = constraint_set_load(&cursor->set, plan, argc, argv, COLUMN_KIND);
	if (cursor->done)
		return SQLITE_OK;
	filter = (struct scan_filter){
		.run = cursor->set.range[COLUMN_RUN_ID],
		.process = cursor->set.range[COLUMN_PROCESS_ID],
		.thread_id = cursor->set.range[COLUMN_THREAD_ID],
		.at_ns = cursor->set.range[COLUMN_AT_NS],
		.stack = cursor->set.range[COLUMN_STACK_ID],
		.address = cursor->set.range[COLUMN_ADDRESS],
		.known_ns = RANGE_ALL,
		.kinds = cursor->set.kinds,
	};
	cursor->check = cursor->set.kinds != ~0u || !range_is_all(filter.thread_id) ||
			!range_is_all(filter.at_ns) || !range_is_all(filter.stack) ||
			!range_is_all(filter.address);
	if (cursor->check)
		needs |= CHUNK_KIND | CHUNK_AT_NS | CHUNK_STACK | CHUNK_ADDRESS | CHUNK_THREAD;
	rc = scan_init(&cursor->scan, table->db, &filter, (unsigned)needs);
	if (rc != SQLITE_OK)
		return table_fail(cursor, rc);
	return settle(cursor);
}

static int events_next(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;

	cursor->row++;
	if (cursor->row < cursor->scan.columns.events && !cursor->check)
		return SQLITE_OK;
	return settle(cursor);
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

static int events_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	const struct cursor *cursor = (const struct cursor *)base;
	const struct scan *scan = &cursor->scan;
	const struct chunk_columns *columns = &scan->columns;
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
		sqlite3_result_int64(context, scan->chunk_id);
		break;
	case COLUMN_COUNT:
		break;
	}
	return SQLITE_OK;
}

static int events_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
	const struct cursor *cursor = (const struct cursor *)base;

	*ret_rowid = cursor->scan.chunk_id * CHUNK_MAX_EVENTS + cursor->row;
	return SQLITE_OK;
}

int events_register(sqlite3 *db)
{
	static const sqlite3_module module = {
		.iVersion = 0,
		.xConnect = events_connect,
		.xBestIndex = events_best_index,
		.xDisconnect = events_disconnect,
		.xDestroy = events_disconnect,
		.xOpen = events_open,
		.xClose = events_close,
		.xFilter = events_filter,
		.xNext = events_next,
		.xEof = events_eof,
		.xColumn = events_column,
		.xRowid = events_rowid,
	};

	return sqlite3_create_module(db, "events", &module, NULL);
}
