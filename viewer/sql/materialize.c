/*
 * heaptape sql --materialize: every event as plain rows, for SQLite clients that can load nothing.
 * Written in short transactions, so that a recording into the same file goes on meanwhile.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "viewer/command/cli.h"
#include "viewer/model/db.h"
#include "viewer/print/format.h"
#include "viewer/sql/sql.h"

/* Chunks per transaction; a chunk has some 65,000 events. */
#define CHUNKS_AT_ONCE 16

static struct {
	bool shown;
	int64_t rows, expected;
} progress;

static void row_cb(void *context, int operation, const char *database, const char *table,
		   sqlite3_int64 rowid)
{
	(void)context;
	(void)operation;
	(void)database;
	(void)table;
	(void)rowid;
	if (++progress.rows % 262144 == 0 && progress.shown)
		fprintf(stderr, "\rheaptape: %s of about %s rows written ...",
			format_short_count(progress.rows), format_short_count(progress.expected));
}

static bool failed(sqlite3 *db)
{
	if (progress.shown)
		fputs("\r\033[K", stderr);
	complain("cannot write the plain tables: %s", sqlite3_errmsg(db));
	sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return false;
}

static bool exec(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* Rows of one process with `time` from `from` to below `to`. */
static bool copy_range(sqlite3 *db, const char *target, const char *source, const char *time,
		       int64_t process_id, int64_t from, int64_t to)
{
	char *sql = sqlite3_mprintf("INSERT INTO %s SELECT * FROM %s WHERE process_id = %lld AND "
				    "%s >= %lld AND %s < %lld",
				    target, source, process_id, time, from, time, to);
	bool good = sql && exec(db, "BEGIN IMMEDIATE") && exec(db, sql) && exec(db, "COMMIT");

	sqlite3_free(sql);
	return good;
}

static bool copy_process(sqlite3 *db, const char *target, const char *source, const char *time,
			 int64_t process_id)
{
	sqlite3_stmt *bounds = db_query(
		db,
		"SELECT first_ns FROM (SELECT first_ns, row_number() OVER (ORDER BY first_ns) AS n "
		"FROM chunks WHERE process_id = ?) WHERE n > 1 AND n % ? = 1",
		"ii", process_id, (int64_t)CHUNKS_AT_ONCE);
	int64_t from = INT64_MIN;
	bool good = true;

	while (db_next(bounds)) {
		int64_t to = sqlite3_column_int64(bounds, 0);

		good = good && copy_range(db, target, source, time, process_id, from, to);
		from = to;
	}
	return good && copy_range(db, target, source, time, process_id, from, INT64_MAX);
}

static bool copy_all(sqlite3 *db, const char *target, const char *source, const char *time,
		     int64_t run_id)
{
	char *create = sqlite3_mprintf("CREATE TABLE IF NOT EXISTS %s AS SELECT * FROM %s LIMIT 0",
				       target, source);
	char *clear = sqlite3_mprintf("DELETE FROM %s WHERE %lld IN (0, run_id)", target, run_id);
	sqlite3_stmt *process;
	bool good = exec(db, create) && exec(db, clear);

	sqlite3_free(create);
	sqlite3_free(clear);
	process = db_query(db, "SELECT process_id FROM processes WHERE ?1 IN (0, run_id)", "i",
			   run_id);
	while (db_next(process))
		good = good &&
		       copy_process(db, target, source, time, sqlite3_column_int64(process, 0));
	return good;
}

bool sql_materialize(sqlite3 *db, int64_t run_id)
{
	bool good;

	progress.shown = isatty(STDERR_FILENO);
	progress.rows = 0;
	progress.expected =
		db_number(db, "SELECT total(events) * 1.5 FROM processes WHERE ?1 IN (0, run_id)",
			  "i", run_id);
	sqlite3_update_hook(db, row_cb, NULL);
	good = copy_all(db, "plain_events", "events", "at_ns", run_id) &&
	       copy_all(db, "plain_allocations", "allocations", "allocated_at_ns", run_id);
	sqlite3_update_hook(db, NULL, NULL);
	if (!good)
		return failed(db);
	if (progress.shown)
		fputs("\r\033[K", stderr);
	fprintf(stderr, "heaptape: plain_events holds %s, plain_allocations %s\n",
		format_plural(db_number(db, "SELECT count(*) FROM plain_events", ""), "row",
			      "rows"),
		format_plural(db_number(db, "SELECT count(*) FROM plain_allocations", ""), "row",
			      "rows"));
	return true;
}
