/*
 * SQL functions: stack_text(stack_id), stack_text(stack_id, frames) for the innermost frames only, and
 * heaptape_chunks_opened() for tests of what is read.
 */
#include "viewer/sqlite/sqlite_api.h"

#include <string.h>

#include "viewer/sqlite/scan.h"
#include "viewer/sqlite/tables.h"

/* The innermost `frames` of a stack's text; negative: all. */
static const char *innermost(const char *text, sqlite3_int64 frames)
{
	const char *at = text + strlen(text);

	if (frames < 0)
		return text;
	while (at > text && (at[-1] != ';' || --frames != 0))
		at--;
	return at;
}

/* What the view of that name says. */
static void stack_text(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	static const char sql[] = "SELECT text FROM stack_text WHERE stack_id = ?";
	sqlite3 *db = sqlite3_context_db_handle(context);
	sqlite3_int64 frames = argc > 1 ? sqlite3_value_int64(argv[1]) : -1;
	sqlite3_stmt *find = NULL;
	const char *text;
	int rc;

	if (sqlite3_value_type(argv[0]) == SQLITE_NULL || !frames)
		return;
	rc = sqlite3_prepare_v2(db, sql, -1, &find, NULL);
	if (rc != SQLITE_OK) {
		sqlite3_result_error(context, sqlite3_errmsg(db), -1);
		return;
	}
	sqlite3_bind_int64(find, 1, sqlite3_value_int64(argv[0]));
	rc = sqlite3_step(find);
	text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(find, 0) : NULL;
	if (text)
		sqlite3_result_text(context, innermost(text, frames), -1, SQLITE_TRANSIENT);
	else if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		sqlite3_result_error_code(context, rc);
	sqlite3_finalize(find);
}

static void chunks_opened(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	(void)argc, (void)argv;
	sqlite3_result_int64(context, (sqlite3_int64)scan_chunks_opened);
}

int functions_register(sqlite3 *db)
{
	int rc = SQLITE_OK;

	for (int arguments = 1; arguments <= 2 && rc == SQLITE_OK; arguments++)
		rc = sqlite3_create_function_v2(db, "stack_text", arguments,
						SQLITE_UTF8 | SQLITE_INNOCUOUS, NULL, stack_text,
						NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function_v2(db, "heaptape_chunks_opened", 0, SQLITE_UTF8, NULL,
						chunks_opened, NULL, NULL, NULL);
	return rc;
}
