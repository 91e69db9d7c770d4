#include "viewer/sql/sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/command/cli.h"
#include "viewer/print/json.h"
#include "viewer/print/table.h"

/* Rows that are looked at before the first is printed, to find how wide the columns are. */
#define SQL_BATCH 1000

struct result {
	const struct sql_session *session;
	struct column *columns;
	int count;
	struct table *table;
	struct json json;
	int64_t rows;
	bool flushed;
	bool lines; /* too wide for the terminal */
};

static void result_start(struct result *result, const struct sql_session *session,
			 sqlite3_stmt *statement)
{
	*result = (struct result){ .session = session, .count = sqlite3_column_count(statement) };
	result->columns = must_alloc((size_t)result->count * sizeof(*result->columns));
	for (int i = 0; i < result->count; i++) {
		const char *name = sqlite3_column_name(statement, i);

		result->columns[i] =
			(struct column){ must_copy(name ? name : ""), NULL, CELL_ANY, COLUMN_FLEX };
		result->columns[i].title = result->columns[i].name;
	}
	result->table = table_new(result->columns, (size_t)result->count);
	if (session->mode == SQL_JSON) {
		json_init(&result->json, stdout);
		json_array(&result->json, NULL);
	} else if (session->mode == SQL_CSV) {
		table_csv(result->table, stdout);
	}
}

/* x'0badcafe' */
static char *blob_text(const unsigned char *blob, int bytes)
{
	char *text = must_alloc(2 * (size_t)bytes + 4), *to = text + 2;

	text[0] = 'x';
	text[1] = '\'';
	for (int i = 0; i < bytes; i++, to += 2)
		sprintf(to, "%02x", blob[i]);
	*to = '\'';
	return text;
}

static void table_row(struct result *result, sqlite3_stmt *statement)
{
	for (int i = 0; i < result->count; i++) {
		int bytes = sqlite3_column_bytes(statement, i);
		char *blob;

		switch (sqlite3_column_type(statement, i)) {
		case SQLITE_INTEGER:
			table_number(result->table, sqlite3_column_int64(statement, i));
			break;
		case SQLITE_FLOAT:
			table_real(result->table, sqlite3_column_double(statement, i));
			break;
		case SQLITE_TEXT:
			table_data(result->table, (const char *)sqlite3_column_text(statement, i),
				   (size_t)bytes);
			break;
		case SQLITE_BLOB:
			/* A screen has no room for more of it. */
			if (result->session->mode == SQL_TABLE && bytes > 16)
				bytes = 16;
			blob = blob_text(sqlite3_column_blob(statement, i), bytes);
			table_text(result->table, blob);
			free(blob);
			break;
		default:
			table_null(result->table);
		}
	}
}

static void json_row(struct result *result, sqlite3_stmt *statement)
{
	struct json *json = &result->json;

	json_object(json, NULL);
	json_one_line(json);
	for (int i = 0; i < result->count; i++) {
		const char *name = result->columns[i].name;
		int bytes = sqlite3_column_bytes(statement, i);
		char *blob;

		switch (sqlite3_column_type(statement, i)) {
		case SQLITE_INTEGER:
			json_number(json, name, sqlite3_column_int64(statement, i));
			break;
		case SQLITE_FLOAT:
			json_real(json, name, sqlite3_column_double(statement, i));
			break;
		case SQLITE_TEXT:
			json_bytes(json, name, (const char *)sqlite3_column_text(statement, i),
				   (size_t)bytes);
			break;
		case SQLITE_BLOB:
			blob = blob_text(sqlite3_column_blob(statement, i), bytes);
			json_text(json, name, blob);
			free(blob);
			break;
		default:
			json_null(json, name);
		}
	}
	json_end(json);
}

static void result_flush(struct result *result)
{
	if (result->session->mode == SQL_TABLE && !result->flushed)
		result->lines = !table_fits(result->table, stdout);
	result->flushed = true;
	if (result->lines)
		table_lines(result->table, stdout);
	else if (result->session->mode == SQL_TABLE)
		table_print(result->table, stdout, 0);
	else if (result->session->mode == SQL_CSV)
		table_csv_rows(result->table, stdout);
	table_continue(result->table);
}

static void result_row(struct result *result, sqlite3_stmt *statement)
{
	result->rows++;
	if (result->session->mode == SQL_JSON) {
		json_row(result, statement);
		return;
	}
	table_row(result, statement);
	if (table_rows(result->table) == SQL_BATCH)
		result_flush(result);
}

/* A query that failed before its first row shows nothing, one without rows its columns. */
static void result_end(struct result *result, bool good)
{
	if (result->session->mode == SQL_JSON)
		json_end(&result->json);
	else if (table_rows(result->table) || (good && !result->rows))
		result_flush(result);
	table_free(result->table);
	for (int i = 0; i < result->count; i++)
		free((char *)result->columns[i].name);
	free(result->columns);
	fflush(stdout);
}

static bool sql_failed(const struct sql_session *session)
{
	int code = sqlite3_errcode(session->db);
	const char *hint = "";

	fflush(stdout);
	if ((code & 0xff) == SQLITE_READONLY && !session->write)
		hint = " (the database is opened for reading; --write allows changes)";
	else if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
		hint = " (the file is damaged; 'sqlite3 FILE .recover' may save what is left)";
	complain("SQL: %s%s", sqlite3_errmsg(session->db), hint);
	return false;
}

bool sql_run(struct sql_session *session, const char *text)
{
	while (*text) {
		sqlite3_stmt *statement = NULL;
		struct result result;
		int code = sqlite3_prepare_v2(session->db, text, -1, &statement, &text);
		bool shows;

		if (code != SQLITE_OK)
			return sql_failed(session);
		if (!statement)
			continue; /* blanks, a comment */
		shows = sqlite3_column_count(statement) > 0;
		if (shows)
			result_start(&result, session, statement);
		while ((code = sqlite3_step(statement)) == SQLITE_ROW && !ferror(stdout))
			if (shows)
				result_row(&result, statement);
		if (shows)
			result_end(&result, code == SQLITE_DONE);
		if (code != SQLITE_DONE && code != SQLITE_ROW)
			sql_failed(session);
		sqlite3_finalize(statement);
		if (code != SQLITE_DONE)
			return false;
	}
	return true;
}

bool sql_script(struct sql_session *session, const char *text)
{
	char *statement = must_copy("");
	bool good = true;

	while (*text && good && !session->quit) {
		size_t length = strcspn(text, "\n");
		char *line = must_print("%.*s", (int)length, text);
		bool between = !statement[strspn(statement, " \t\r\n;")];

		text += length + (text[length] == '\n');
		if (between && *line == '.') {
			good = sql_dot(session, line);
		} else {
			char *longer = must_print("%s%s\n", statement, line);

			free(statement);
			statement = longer;
			if (sqlite3_complete(statement)) {
				good = sql_run(session, statement);
				*statement = 0;
			}
		}
		free(line);
	}
	if (good && !session->quit)
		good = sql_run(session, statement);
	free(statement);
	return good;
}
