/*
 * The database as the commands see it: opened through proto/store.h, queries that end the command
 * with one clear message when the file does not answer.
 */
#ifndef HEAPTAPE_VIEWER_MODEL_DB_H
#define HEAPTAPE_VIEWER_MODEL_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/* Opens the database that was asked for, read-only, or dies saying why not. */
sqlite3 *db_open(void);
sqlite3 *db_open_path(const char *path);
void db_close(sqlite3 *db);
/* All queries until db_close see the file as it is now, whatever is recorded meanwhile. */
void db_snapshot(sqlite3 *db);

/* A statement with its integer parameters bound: `types` has one letter each, 'i' for an int64_t,
 * 's' for a string that outlives the statement. */
sqlite3_stmt *db_query(sqlite3 *db, const char *sql, const char *types, ...);
/* The next row; finalises the statement and returns false after the last. */
bool db_next(sqlite3_stmt *statement);

int64_t db_number(sqlite3 *db, const char *sql, const char *types, ...);
bool db_has_table(sqlite3 *db, const char *name);

/* Columns of the current row. */
int64_t column_number(sqlite3_stmt *statement, int column, int64_t when_null);
const char *column_string(sqlite3_stmt *statement, int column); /* "" when NULL */
char *column_copy(sqlite3_stmt *statement, int column);		/* a heap copy; NULL when NULL */

#endif
