#include "viewer/sqlite/vtab.h"

#include <string.h>

int vtab_register(sqlite3 *db, const char *name, const sqlite3_module *module,
		  const char *declaration)
{
	return sqlite3_create_module(db, name, module, (void *)declaration);
}

int vtab_connect(sqlite3 *db, void *declaration, int argc, const char *const *argv,
		 sqlite3_vtab **ret_table, char **error)
{
	int rc = sqlite3_declare_vtab(db, declaration);
	struct vtab *table;

	(void)argc, (void)argv, (void)error;
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

int vtab_disconnect(sqlite3_vtab *base)
{
	scan_statements_release(&((struct vtab *)base)->spare);
	sqlite3_free(base);
	return SQLITE_OK;
}

int vtab_open(size_t bytes, sqlite3_vtab_cursor **ret_cursor)
{
	sqlite3_vtab_cursor *cursor = sqlite3_malloc64(bytes);

	if (!cursor)
		return SQLITE_NOMEM;
	memset(cursor, 0, bytes);
	*ret_cursor = cursor;
	return SQLITE_OK;
}

int vtab_fail(const sqlite3_vtab_cursor *cursor, struct scan *scan, int rc)
{
	if (scan->error) {
		sqlite3_free(cursor->pVtab->zErrMsg);
		cursor->pVtab->zErrMsg = scan->error;
		scan->error = NULL;
	}
	return rc;
}
