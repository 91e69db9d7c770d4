/*
 * heaptape sql --materialize: every event as plain rows, for SQLite clients that can load nothing.
 * Written in short transactions, so that a recording into the same file goes on meanwhile.
 */
#include <errno.h>

#include "viewer/model/rows.h"
#include "viewer/sql/sql.h"

/* Chunks per transaction; a chunk has some 65,000 events. */
#define CHUNKS_AT_ONCE 16
/* Rows from one word of progress to the next. */
#define PROGRESS_ROWS 262144

struct progress {
	void (*tell)(int64_t rows, int64_t expected);
	int64_t rows, expected;
};

static void row_cb(void *context, int operation, const char *database, const char *table,
		   sqlite3_int64 rowid)
{
	struct progress *progress = context;

	(void)operation;
	(void)database;
	(void)table;
	(void)rowid;
	if (++progress->rows % PROGRESS_ROWS == 0)
		progress->tell(progress->rows, progress->expected);
}

static int exec(struct db *db, const char *sql, struct error *error)
{
	if (sql && sqlite3_exec(db->connection, sql, NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	return error_set(error, -EIO, "cannot write the plain tables: %s",
			 sql ? sqlite3_errmsg(db->connection) : "out of memory");
}

/* Rows of one process with `time` from `from` to below `to`. */
static int copy_range(struct db *db, const char *target, const char *source, const char *time,
		      int64_t process_id, int64_t from, int64_t to, struct error *error)
{
	char *sql = sqlite3_mprintf("INSERT INTO %s SELECT * FROM %s WHERE process_id = %lld AND "
				    "%s >= %lld AND %s < %lld",
				    target, source, process_id, time, from, time, to);
	int result = exec(db, "BEGIN IMMEDIATE", error);

	if (!result)
		result = exec(db, sql, error);
	if (!result)
		result = exec(db, "COMMIT", error);
	if (result)
		sqlite3_exec(db->connection, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_free(sql);
	return result;
}

static int copy_process(struct db *db, const char *target, const char *source, const char *time,
			int64_t process_id, struct error *error)
{
	static const struct row_field fields[] = { { "first_ns", ROW_COUNT, 0, 0 }, ROW_END };
	int64_t from = INT64_MIN, to;
	struct rows bounds;
	int result = rows_open(
		&bounds, db, fields, 0, error,
		"SELECT first_ns FROM (SELECT first_ns, row_number() OVER (ORDER BY first_ns) AS n "
		"FROM chunks WHERE process_id = ?) WHERE n > 1 AND n % ? = 1",
		"ii", process_id, (int64_t)CHUNKS_AT_ONCE);

	if (result)
		return result;
	while ((result = rows_next(&bounds, &to, error)) > 0) {
		result = copy_range(db, target, source, time, process_id, from, to, error);
		if (result)
			break;
		from = to;
	}
	rows_close(&bounds);
	if (result)
		return result;
	return copy_range(db, target, source, time, process_id, from, INT64_MAX, error);
}

static int copy_all(struct db *db, const char *target, const char *source, const char *time,
		    int64_t run_id, struct error *error)
{
	static const struct row_field fields[] = { { "process_id", ROW_COUNT, 0, 0 }, ROW_END };
	char *create = sqlite3_mprintf("CREATE TABLE IF NOT EXISTS %s AS SELECT * FROM %s LIMIT 0",
				       target, source);
	char *clear = sqlite3_mprintf("DELETE FROM %s WHERE %lld IN (0, run_id)", target, run_id);
	struct rows processes;
	int64_t process_id;
	int result = exec(db, create, error);

	if (!result)
		result = exec(db, clear, error);
	sqlite3_free(create);
	sqlite3_free(clear);
	if (!result)
		result = rows_open(&processes, db, fields, 0, error,
				   "SELECT process_id FROM processes WHERE ?1 IN (0, run_id)", "i",
				   run_id);
	if (result)
		return result;
	while ((result = rows_next(&processes, &process_id, error)) > 0) {
		result = copy_process(db, target, source, time, process_id, error);
		if (result)
			break;
	}
	rows_close(&processes);
	return result;
}

static int count_rows(struct db *db, struct sql_materialized *ret_materialized, struct error *error)
{
	struct sql_materialized counted;
	int result = rows_number(&counted.events, db, error,
				 "SELECT count(*) AS number FROM plain_events", "");

	if (!result)
		result = rows_number(&counted.allocations, db, error,
				     "SELECT count(*) AS number FROM plain_allocations", "");
	if (!result)
		*ret_materialized = counted;
	return result;
}

int sql_materialize(struct db *db, int64_t run_id, void (*progress)(int64_t rows, int64_t expected),
		    struct sql_materialized *ret_materialized, struct error *error)
{
	struct progress context = { progress, 0, 0 };
	int result = rows_number(&context.expected, db, error,
				 "SELECT total(events) * 1.5 AS number FROM processes "
				 "WHERE ?1 IN (0, run_id)",
				 "i", run_id);

	if (result)
		return result;
	if (progress)
		sqlite3_update_hook(db->connection, row_cb, &context);
	result = copy_all(db, "plain_events", "events", "at_ns", run_id, error);
	if (!result)
		result = copy_all(db, "plain_allocations", "allocations", "allocated_at_ns", run_id,
				  error);
	sqlite3_update_hook(db->connection, NULL, NULL);
	return result ? result : count_rows(db, ret_materialized, error);
}
