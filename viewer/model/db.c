#include "viewer/model/db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/recorder.h"
#include "proto/store.h"
#include "viewer/memory.h"
#include "viewer/sqlite/heaptape_sqlite.h"

#define LEFT_WAIT_MS 1000

/* Ends the runs that a killed daemon left; false: there are none, or the file cannot be written. */
static bool end_left(const char *path, sqlite3 *reader)
{
	struct store_error ignored;
	sqlite3 *writer = NULL;
	bool ended;

	if (!recorder_has_left(reader) || store_open(path, STORE_WRITE, &writer, &ignored) != 0)
		return false;
	sqlite3_busy_timeout(writer, LEFT_WAIT_MS);
	ended = recorder_end_left(writer) > 0;
	store_close(writer);
	return ended;
}

static int db_fail(struct error *ret_error, const struct store_error *error, int result)
{
	return error_set(ret_error, result, "%s", error->text[0] ? error->text : strerror(-result));
}

int db_open(const char *path, struct db *ret_db, bool *ret_left, struct error *error)
{
	struct store_error why = { "" };
	sqlite3 *connection;
	int result = store_open(path, STORE_READ, &connection, &why);

	if (result == -ENOENT)
		return error_set(error, result,
				 "there is no database '%s'. Record a program first:\n"
				 "  heaptape run PROGRAM\n"
				 "or name the database with --db FILE or HEAPTAPE_DB.",
				 path);
	if (result)
		return db_fail(error, &why, result);
	*ret_left = end_left(path, connection);
	*ret_db = (struct db){ connection, memory_copy(path) };
	return 0;
}

int db_open_to_write(const char *path, struct db *ret_db, struct error *error)
{
	struct store_error why = { "" };
	sqlite3 *connection;
	int result = store_open(path, STORE_WRITE, &connection, &why);

	if (result)
		return db_fail(error, &why, result);
	recorder_end_left(connection);
	*ret_db = (struct db){ connection, memory_copy(path) };
	return 0;
}

void db_close(struct db *db)
{
	if (db->connection)
		store_close(db->connection);
	free(db->path);
	*db = (struct db){ NULL, NULL };
}

int db_error(struct db *db, struct error *ret_error)
{
	struct store_error why = { "" };
	int result = store_error_set(&why, db->connection, "read");

	return db_fail(ret_error, &why, result);
}

int db_snapshot(struct db *db, struct error *error)
{
	if (sqlite3_exec(db->connection, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
		return db_error(db, error);
	return 0;
}

int db_register(struct db *db, struct error *error)
{
	if (heaptape_sqlite_register(db->connection) != SQLITE_OK)
		return error_set(error, -EIO,
				 "cannot add the tables events, allocations and pages: %s",
				 sqlite3_errmsg(db->connection));
	return 0;
}
