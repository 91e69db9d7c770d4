#include "viewer/model/db.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "proto/recorder.h"
#include "proto/store.h"
#include "viewer/command/cli.h"
#include "viewer/record/launch.h"
#include "viewer/record/names.h"

#define LEFT_WAIT_MS 1000

/* Runs whose daemon was killed are ended first, where the file may be written and is not locked. */
static int open_reader(const char *path, sqlite3 **ret_db, struct store_error *error)
{
	int result = store_open(path, STORE_READ, ret_db, error);
	struct store_error ignored;
	sqlite3 *writer = NULL;

	if (result || !recorder_has_left(*ret_db) ||
	    store_open(path, STORE_WRITE, &writer, &ignored) != 0)
		return result;
	sqlite3_busy_timeout(writer, LEFT_WAIT_MS);
	if (recorder_end_left(writer) > 0)
		launch_symbols(path);
	store_close(writer);
	return 0;
}

sqlite3 *db_open_path(const char *path)
{
	struct store_error error = { "" };
	sqlite3 *db = NULL;
	int result = open_reader(path, &db, &error);

	if (result == -ENOENT)
		die("there is no database '%s'. Record a program first:\n"
		    "  heaptape run PROGRAM\n"
		    "or name the database with --db FILE or HEAPTAPE_DB.",
		    path);
	if (result)
		die("%s", error.text[0] ? error.text : strerror(-result));
	return db;
}

sqlite3 *db_open(void)
{
	return db_open_path(cli_database());
}

void db_close(sqlite3 *db)
{
	store_close(db);
}

static void db_die(sqlite3 *db) __attribute__((noreturn));
static void db_die(sqlite3 *db)
{
	struct store_error error = { "" };
	int result = store_error_set(&error, db, "read");

	die("%s", error.text[0] ? error.text : strerror(-result));
}

void db_snapshot(sqlite3 *db)
{
	names_ask(db);
	if (sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
		db_die(db);
}

static sqlite3_stmt *db_query_list(sqlite3 *db, const char *sql, const char *types, va_list list)
{
	sqlite3_stmt *statement;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		db_die(db);
	for (int i = 0; types[i]; i++)
		if (types[i] == 'i')
			sqlite3_bind_int64(statement, i + 1, va_arg(list, int64_t));
		else
			sqlite3_bind_text(statement, i + 1, va_arg(list, const char *), -1,
					  SQLITE_STATIC);
	return statement;
}

sqlite3_stmt *db_query(sqlite3 *db, const char *sql, const char *types, ...)
{
	sqlite3_stmt *statement;
	va_list list;

	va_start(list, types);
	statement = db_query_list(db, sql, types, list);
	va_end(list);
	return statement;
}

bool db_next(sqlite3_stmt *statement)
{
	int result = sqlite3_step(statement);

	if (result == SQLITE_ROW)
		return true;
	if (result != SQLITE_DONE)
		db_die(sqlite3_db_handle(statement));
	sqlite3_finalize(statement);
	return false;
}

int64_t db_number(sqlite3 *db, const char *sql, const char *types, ...)
{
	sqlite3_stmt *statement;
	int64_t number = 0;
	va_list list;

	va_start(list, types);
	statement = db_query_list(db, sql, types, list);
	va_end(list);
	while (db_next(statement))
		number = sqlite3_column_int64(statement, 0);
	return number;
}

bool db_has_table(sqlite3 *db, const char *name)
{
	return db_number(db, "SELECT count(*) FROM sqlite_schema WHERE name = ?", "s", name) > 0;
}

int64_t column_number(sqlite3_stmt *statement, int column, int64_t when_null)
{
	return sqlite3_column_type(statement, column) == SQLITE_NULL
		       ? when_null
		       : sqlite3_column_int64(statement, column);
}

const char *column_string(sqlite3_stmt *statement, int column)
{
	const unsigned char *text = sqlite3_column_text(statement, column);

	return text ? (const char *)text : "";
}

char *column_copy(sqlite3_stmt *statement, int column)
{
	const unsigned char *text = sqlite3_column_text(statement, column);

	return text ? must_copy((const char *)text) : NULL;
}
