/* The dot commands of `heaptape sql`: one row of a table each. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/store.h"
#include "viewer/memory.h"
#include "viewer/model/rows.h"
#include "viewer/sql/sql.h"

static int dot_tables(struct sql_session *session, const char *argument, struct error *error)
{
	(void)argument;
	return sql_run(
		session,
		"SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name "
		"NOT LIKE 'sqlite_%' UNION SELECT name, 'virtual' FROM pragma_module_list "
		"WHERE name IN ('events', 'allocations', 'pages') ORDER BY 2, 1",
		error);
}

/* A virtual table has no text in the file; the schema explains it in a comment, which ends at ");". */
static bool schema_virtual(struct sql_session *session, const char *table)
{
	char *head = memory_print("\n-- %s(", table);
	const char *at = strstr(store_schema(), head);
	size_t length;

	free(head);
	if (!at)
		return false;
	do {
		at += strlen("\n-- ");
		length = strcspn(at, "\n");
		fprintf(session->out, "%.*s\n", (int)length, at);
	} while (strncmp(at, ");", 2) != 0 && *(at += length));
	return true;
}

/* Tables of SQLite's own, and none at all. */
static int table_columns(struct sql_session *session, const char *table, struct error *error)
{
	char *query = sqlite3_mprintf("SELECT name, type FROM pragma_table_xinfo(%Q)", table);
	int64_t columns = 0;
	int result =
		rows_number(&columns, session->db, error,
			    "SELECT count(*) AS number FROM pragma_table_xinfo(?)", "s", table);

	if (!result && !columns)
		result = error_set(error, -ENOENT,
				   "there is no table '%s'; .tables lists what there is", table);
	if (!result)
		result = sql_run(session, query, error);
	sqlite3_free(query);
	return result;
}

static int dot_schema(struct sql_session *session, const char *argument, struct error *error)
{
	static const struct row_field fields[] = { { "sql", ROW_TEXT, 0, 0 }, ROW_END };
	struct rows rows;
	const char *sql;
	bool found = false;
	int result = rows_open(&rows, session->db, fields, 0, error,
			       "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND "
			       "(?1 = '' OR name = ?1 OR tbl_name = ?1) ORDER BY rowid",
			       "s", argument);

	if (result)
		return result;
	while ((result = rows_next(&rows, &sql, error)) > 0) {
		fprintf(session->out, "%s;\n", sql);
		found = true;
	}
	if (result || found || !*argument || schema_virtual(session, argument))
		return result;
	return table_columns(session, argument, error);
}

static int dot_mode(struct sql_session *session, const char *argument, struct error *error)
{
	static const char *const names[] = {
		[TABLE_SCREEN] = "table", [TABLE_JSON] = "json", [TABLE_CSV] = "csv"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(argument, names[i])) {
			session->form = (enum table_form)i;
			return 0;
		}
	return error_set(error, -EINVAL, ".mode is one of table, json, csv");
}

static int dot_quit(struct sql_session *session, const char *argument, struct error *error)
{
	(void)argument;
	(void)error;
	session->quit = true;
	return 0;
}

static int dot_help(struct sql_session *session, const char *argument, struct error *error);

static const struct {
	const char *name;
	const char *argument;
	const char *help;
	int (*run)(struct sql_session *session, const char *argument, struct error *error);
} dots[] = {
	{ ".tables", "", "what can be asked", dot_tables },
	{ ".schema", "[TABLE]", "columns, with what each means", dot_schema },
	{ ".mode", "MODE", "table, json or csv", dot_mode },
	{ ".help", "", "this list", dot_help },
	{ ".quit", "", "leave (also Ctrl-D)", dot_quit },
};
#define DOTS (sizeof(dots) / sizeof(*dots))

static int dot_help(struct sql_session *session, const char *argument, struct error *error)
{
	(void)argument;
	(void)error;
	for (size_t i = 0; i < DOTS; i++)
		fprintf(session->out, "  %-8s %-8s %s\n", dots[i].name, dots[i].argument,
			dots[i].help);
	fputs("Tab completes names. Ctrl-C stops a query, or drops what was typed.\n"
	      "Anything else is SQL and ends with a semicolon. To begin with:\n"
	      "  SELECT * FROM runs;\n"
	      "  SELECT kind, count(*) FROM events WHERE run_id = 1 GROUP BY kind;\n"
	      "  SELECT live_bytes, stack_text(stack_id, 3) FROM leaks LIMIT 5;\n",
	      session->out);
	return 0;
}

const char *sql_dot_name(size_t index)
{
	return index < DOTS ? dots[index].name : NULL;
}

int sql_dot(struct sql_session *session, const char *line, struct error *error)
{
	size_t length = strcspn(line, " \t\r\n");
	char *argument = memory_copy(line + length + strspn(line + length, " \t"));
	int result = -ENOENT;
	size_t i;

	argument[strcspn(argument, " \t\r\n;")] = 0;
	for (i = 0; i < DOTS; i++)
		if (strlen(dots[i].name) == length && !strncmp(dots[i].name, line, length)) {
			result = dots[i].run(session, argument, error);
			break;
		}
	if (i == DOTS)
		error_set(error, result, "there is no '%.*s'; .help lists what there is",
			  (int)length, line);
	free(argument);
	return result;
}
