/* The dot commands of `heaptape sql`: one row of a table each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/store.h"
#include "viewer/command/cli.h"
#include "viewer/sql/sql.h"

static bool dot_tables(struct sql_session *session, const char *argument)
{
	(void)argument;
	return sql_run(
		session,
		"SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name "
		"NOT LIKE 'sqlite_%' UNION SELECT name, 'virtual' FROM pragma_module_list "
		"WHERE name IN ('events', 'allocations', 'pages') ORDER BY 2, 1");
}

/* A virtual table has no text in the file; the schema explains it in a comment, which ends at ");". */
static bool schema_virtual(const char *table)
{
	char *head = must_print("\n-- %s(", table);
	const char *at = strstr(store_schema(), head);
	size_t length;

	free(head);
	if (!at)
		return false;
	do {
		at += strlen("\n-- ");
		length = strcspn(at, "\n");
		printf("%.*s\n", (int)length, at);
	} while (strncmp(at, ");", 2) != 0 && *(at += length));
	return true;
}

/* Tables of SQLite's own, and none at all. */
static bool table_columns(struct sql_session *session, const char *table)
{
	char *query = sqlite3_mprintf("SELECT name, type FROM pragma_table_xinfo(%Q)", table);
	sqlite3_stmt *row;
	bool good = sqlite3_prepare_v2(session->db, query, -1, &row, NULL) == SQLITE_OK &&
		    sqlite3_step(row) == SQLITE_ROW;

	sqlite3_finalize(row);
	if (good)
		good = sql_run(session, query);
	else
		complain("there is no table '%s'; .tables lists what there is", table);
	sqlite3_free(query);
	return good;
}

static bool dot_schema(struct sql_session *session, const char *argument)
{
	sqlite3_stmt *row;
	bool found = false;

	if (sqlite3_prepare_v2(session->db,
			       "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND "
			       "(?1 = '' OR name = ?1 OR tbl_name = ?1) ORDER BY rowid",
			       -1, &row, NULL) != SQLITE_OK) {
		complain("SQL: %s", sqlite3_errmsg(session->db));
		return false;
	}
	sqlite3_bind_text(row, 1, argument, -1, SQLITE_STATIC);
	while (sqlite3_step(row) == SQLITE_ROW) {
		printf("%s;\n", (const char *)sqlite3_column_text(row, 0));
		found = true;
	}
	sqlite3_finalize(row);
	return found || !*argument || schema_virtual(argument) || table_columns(session, argument);
}

static bool dot_mode(struct sql_session *session, const char *argument)
{
	static const char *const names[] = { "table", "json", "csv" };

	for (int i = 0; i < 3; i++)
		if (!strcmp(argument, names[i])) {
			session->mode = (enum sql_mode)i;
			return true;
		}
	complain(".mode is one of table, json, csv");
	return false;
}

static bool dot_quit(struct sql_session *session, const char *argument)
{
	(void)argument;
	session->quit = true;
	return true;
}

static bool dot_help(struct sql_session *session, const char *argument);

static const struct {
	const char *name;
	const char *argument;
	const char *help;
	bool (*run)(struct sql_session *session, const char *argument);
} dots[] = {
	{ ".tables", "", "what can be asked", dot_tables },
	{ ".schema", "[TABLE]", "columns, with what each means", dot_schema },
	{ ".mode", "MODE", "table, json or csv", dot_mode },
	{ ".help", "", "this list", dot_help },
	{ ".quit", "", "leave (also Ctrl-D)", dot_quit },
};
#define DOTS (sizeof(dots) / sizeof(*dots))

static bool dot_help(struct sql_session *session, const char *argument)
{
	(void)session;
	(void)argument;
	for (size_t i = 0; i < DOTS; i++)
		printf("  %-8s %-8s %s\n", dots[i].name, dots[i].argument, dots[i].help);
	puts("Tab completes names. Ctrl-C stops a query, or drops what was typed.\n"
	     "Anything else is SQL and ends with a semicolon. To begin with:\n"
	     "  SELECT * FROM runs;\n"
	     "  SELECT kind, count(*) FROM events WHERE run_id = 1 GROUP BY kind;\n"
	     "  SELECT live_bytes, stack_text(stack_id, 3) FROM leaks LIMIT 5;");
	return true;
}

const char *sql_dot_name(size_t index)
{
	return index < DOTS ? dots[index].name : NULL;
}

bool sql_dot(struct sql_session *session, const char *line)
{
	size_t length = strcspn(line, " \t\r\n");
	char *argument = must_copy(line + length + strspn(line + length, " \t"));
	bool good = false;
	size_t i;

	argument[strcspn(argument, " \t\r\n;")] = 0;
	for (i = 0; i < DOTS; i++)
		if (strlen(dots[i].name) == length && !strncmp(dots[i].name, line, length)) {
			good = dots[i].run(session, argument);
			break;
		}
	if (i == DOTS)
		complain("there is no '%.*s'; .help lists what there is", (int)length, line);
	free(argument);
	return good;
}
