/* The extension's entry point, and the list of what it brings. */
#include "viewer/sqlite/sqlite_api.h"

#include "viewer/sqlite/heaptape_sqlite.h"
#include "viewer/sqlite/tables.h"

#ifndef SQLITE_CORE
SQLITE_EXTENSION_INIT1
#endif

int heaptape_sqlite_register(sqlite3 *db)
{
	int rc = events_register(db);

	if (rc == SQLITE_OK)
		rc = allocations_register(db);
	if (rc == SQLITE_OK)
		rc = pages_register(db);
	if (rc == SQLITE_OK)
		rc = functions_register(db);
	return rc;
}

#ifndef SQLITE_CORE
int sqlite3_heaptapesqlite_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);

__attribute__((visibility("default"))) int
sqlite3_heaptapesqlite_init(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
	SQLITE_EXTENSION_INIT2(api);
	(void)error;
	return heaptape_sqlite_register(db);
}
#endif
