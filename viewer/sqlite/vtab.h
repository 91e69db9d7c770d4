/* What the virtual tables over chunks have in common. */
#ifndef HEAPTAPE_VIEWER_SQLITE_VTAB_H
#define HEAPTAPE_VIEWER_SQLITE_VTAB_H

#include "viewer/sqlite/sqlite_api.h"

#include "viewer/sqlite/scan.h"

struct vtab {
	sqlite3_vtab base;
	sqlite3 *db;
	struct scan_statements spare;
	double rows; /* an estimate; 0: not made yet */
};

/* `module` has vtab_connect and vtab_disconnect; `declaration` is the CREATE TABLE. */
int vtab_register(sqlite3 *db, const char *name, const sqlite3_module *module,
		  const char *declaration);
int vtab_connect(sqlite3 *db, void *declaration, int argc, const char *const *argv,
		 sqlite3_vtab **ret_table, char **error);
int vtab_disconnect(sqlite3_vtab *base);

/* An empty cursor of `bytes` bytes, which begins with a sqlite3_vtab_cursor. */
int vtab_open(size_t bytes, sqlite3_vtab_cursor **ret_cursor);

/* Hands the scan's message over; returns rc. */
int vtab_fail(const sqlite3_vtab_cursor *cursor, struct scan *scan, int rc);

#endif
