/* A database as the model asks it: opened through proto/store.h, read-only. */
#ifndef HEAPTAPE_VIEWER_MODEL_DB_H
#define HEAPTAPE_VIEWER_MODEL_DB_H

#include <sqlite3.h>
#include <stdbool.h>

#include "viewer/error.h"

struct db {
	sqlite3 *connection; /* NULL: not open */
	char *path;	     /* as it was named */
};

/*
 * Opens `path`. Runs whose daemon was killed are ended first, if the file can be written and is not
 * locked; *ret_left: there were some, so the functions of their frames may still have no names.
 */
int db_open(const char *path, struct db *ret_db, bool *ret_left, struct error *error);
/* With all changes allowed, for `heaptape sql --write`. */
int db_open_to_write(const char *path, struct db *ret_db, struct error *error);
void db_close(struct db *db); /* harmless when it is not open */

/* All queries until db_close see the file as it is now, whatever is recorded meanwhile. */
int db_snapshot(struct db *db, struct error *error);

/* Adds the tables events, allocations and pages, and stack_text(). */
int db_register(struct db *db, struct error *error);

/* The error of the connection's latest call: "cannot read '…': …". */
int db_error(struct db *db, struct error *ret_error);

#endif
