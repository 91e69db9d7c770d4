#include "viewer/sql/sql.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"

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
	result->columns = memory_alloc((size_t)result->count * sizeof(*result->columns));
	for (int i = 0; i < result->count; i++) {
		const char *name = sqlite3_column_name(statement, i);

		result->columns[i] = (struct column){ memory_copy(name ? name : ""), NULL, CELL_ANY,
						      COLUMN_FLEX };
		result->columns[i].title = result->columns[i].name;
	}
	result->table = table_new(result->columns, (size_t)result->count);
	if (session->form == TABLE_JSON) {
		json_init(&result->json, session->out);
		json_array(&result->json, NULL);
	} else if (session->form == TABLE_CSV) {
		table_csv(result->table, session->out);
	}
}

/* x'0badcafe' */
static char *blob_text(const unsigned char *blob, int bytes)
{
	char *text = memory_alloc(2 * (size_t)bytes + 4), *to = text + 2;

	text[0] = 'x';
	text[1] = '\'';
	for (int i = 0; i < bytes; i++, to += 2)
		sprintf(to, "%02x", blob[i]);
	*to = '\'';
	return text;
}

static void add_table_row(struct result *result, sqlite3_stmt *statement)
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
			if (result->session->form == TABLE_SCREEN && bytes > 16)
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

static void add_json_row(struct result *result, sqlite3_stmt *statement)
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
	FILE *out = result->session->out;

	if (result->session->form == TABLE_SCREEN && !result->flushed)
		result->lines = !table_fits(result->table, out);
	result->flushed = true;
	if (result->lines)
		table_lines(result->table, out);
	else if (result->session->form == TABLE_SCREEN)
		table_print(result->table, out, 0);
	else if (result->session->form == TABLE_CSV)
		table_csv_rows(result->table, out);
	table_continue(result->table);
}

static void result_row(struct result *result, sqlite3_stmt *statement)
{
	result->rows++;
	if (result->session->form == TABLE_JSON) {
		add_json_row(result, statement);
		return;
	}
	add_table_row(result, statement);
	if (table_rows(result->table) == SQL_BATCH)
		result_flush(result);
}

/* A query that failed before its first row shows nothing, one without rows its columns. */
static void result_end(struct result *result, bool good)
{
	if (result->session->form == TABLE_JSON)
		json_end(&result->json);
	else if (table_rows(result->table) || (good && !result->rows))
		result_flush(result);
	table_free(result->table);
	for (int i = 0; i < result->count; i++)
		free((char *)result->columns[i].name);
	free(result->columns);
	fflush(result->session->out);
}

static int sql_failed(const struct sql_session *session, struct error *error)
{
	int code = sqlite3_errcode(session->db->connection);
	const char *hint = "";

	if ((code & 0xff) == SQLITE_READONLY && !session->write)
		hint = " (the database is opened for reading; --write allows changes)";
	else if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
		hint = " (the file is damaged; 'sqlite3 FILE .recover' may save what is left)";
	return error_set(error, -EIO, "SQL: %s%s", sqlite3_errmsg(session->db->connection), hint);
}

/* -EPIPE, without a text: nobody reads the output any more. */
static int statement_run(struct sql_session *session, sqlite3_stmt *statement, struct error *error)
{
	bool shows = sqlite3_column_count(statement) > 0;
	struct result result;
	int code, failed = 0;

	if (shows)
		result_start(&result, session, statement);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW && !ferror(session->out))
		if (shows)
			result_row(&result, statement);
	if (shows)
		result_end(&result, code == SQLITE_DONE);
	if (code == SQLITE_ROW)
		failed = error_set(error, -EPIPE, "%s", "");
	else if (code != SQLITE_DONE)
		failed = sql_failed(session, error);
	sqlite3_finalize(statement);
	return failed;
}

int sql_run(struct sql_session *session, const char *text, struct error *error)
{
	int result = 0;

	while (*text && !result) {
		sqlite3_stmt *statement = NULL;

		if (sqlite3_prepare_v2(session->db->connection, text, -1, &statement, &text) !=
		    SQLITE_OK)
			result = sql_failed(session, error);
		else if (statement) /* else blanks, a comment */
			result = statement_run(session, statement, error);
	}
	return result;
}

int sql_script(struct sql_session *session, const char *text, struct error *error)
{
	char *statement = memory_copy("");
	int result = 0;

	while (*text && !result && !session->quit) {
		size_t length = strcspn(text, "\n");
		char *line = memory_print("%.*s", (int)length, text);
		bool between = !statement[strspn(statement, " \t\r\n;")];

		text += length + (text[length] == '\n');
		if (between && *line == '.') {
			result = sql_dot(session, line, error);
		} else {
			char *longer = memory_print("%s%s\n", statement, line);

			free(statement);
			statement = longer;
			if (sqlite3_complete(statement)) {
				result = sql_run(session, statement, error);
				*statement = 0;
			}
		}
		free(line);
	}
	if (!result && !session->quit)
		result = sql_run(session, statement, error);
	free(statement);
	return result;
}
