/*
 * SQL functions: stack_text(stack_id), stack_text(stack_id, frames) for the innermost frames only, and
 * heaptape_chunks_opened() for tests of what is read.
 */
#include "viewer/sqlite/sqlite_api.h"

#include "viewer/sqlite/scan.h"
#include "viewer/sqlite/tables.h"

/* Frames from the outermost on; where functions were inlined, each of them. */
static const char stack_sql[] =
	"WITH RECURSIVE"
	" walk(n, at, frame) AS ("
	"  SELECT 0, parent_stack_id, frame_id FROM stacks WHERE stack_id = ?1"
	"  UNION ALL"
	"  SELECT n + 1, parent_stack_id, frame_id FROM walk JOIN stacks ON stack_id = at"
	"  WHERE n < 1000),"
	" places(n, inline, frame) AS ("
	"  SELECT n, 0, frame FROM walk"
	"  UNION ALL"
	"  SELECT n, inline + 1, outer_frame_id FROM places JOIN frames ON frame_id = frame"
	"  WHERE outer_frame_id > 0 AND inline < 100)"
	"SELECT coalesce(function, path || printf('+0x%x', offset), printf('0x%x', offset)) "
	"FROM (SELECT * FROM places ORDER BY n, inline LIMIT ?2) "
	"JOIN frames ON frame_id = frame LEFT JOIN modules USING (module_id) "
	"ORDER BY n DESC, inline DESC";

static void stack_text(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	sqlite3 *db = sqlite3_context_db_handle(context);
	sqlite3_stmt *frames = NULL;
	sqlite3_str *text;
	int rc;

	if (sqlite3_value_type(argv[0]) == SQLITE_NULL)
		return;
	rc = sqlite3_prepare_v2(db, stack_sql, -1, &frames, NULL);
	if (rc != SQLITE_OK) {
		sqlite3_result_error(context, sqlite3_errmsg(db), -1);
		return;
	}
	sqlite3_bind_int64(frames, 1, sqlite3_value_int64(argv[0]));
	sqlite3_bind_int64(frames, 2, argc > 1 ? sqlite3_value_int64(argv[1]) : -1);
	text = sqlite3_str_new(db);
	while ((rc = sqlite3_step(frames)) == SQLITE_ROW) {
		if (sqlite3_str_length(text))
			sqlite3_str_appendchar(text, 1, ';');
		sqlite3_str_appendall(text, (const char *)sqlite3_column_text(frames, 0));
	}
	sqlite3_finalize(frames);
	if (rc != SQLITE_DONE) {
		sqlite3_free(sqlite3_str_finish(text));
		sqlite3_result_error_code(context, rc);
	} else if (sqlite3_str_length(text)) {
		int bytes = sqlite3_str_length(text);

		sqlite3_result_text(context, sqlite3_str_finish(text), bytes, sqlite3_free);
	} else {
		sqlite3_free(sqlite3_str_finish(text));
	}
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
