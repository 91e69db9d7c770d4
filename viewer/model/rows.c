#include "viewer/model/rows.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"

const struct row_field *row_field_find(const struct row_field *fields, const char *name)
{
	for (; fields->name; fields++)
		if (!strcmp(fields->name, name))
			return fields;
	return NULL;
}

static int column_of(sqlite3_stmt *statement, const char *name)
{
	for (int i = 0; i < sqlite3_column_count(statement); i++)
		if (!strcmp(sqlite3_column_name(statement, i), name))
			return i;
	return -1;
}

/* Each field has its column, and no column is left over. */
static int rows_bind(struct rows *rows, int from, struct error *error)
{
	int bound = 0, count = sqlite3_column_count(rows->statement);

	for (int i = 0; rows->fields[i].name; i++) {
		const char *name = rows->fields[i].name;

		if (i == ROW_FIELDS_MAX)
			return error_set(error, -E2BIG, "a query has more than %d fields: %s",
					 ROW_FIELDS_MAX, sqlite3_sql(rows->statement));
		rows->columns[i] = -1;
		if (rows->fields[i].from != from)
			continue;
		rows->columns[i] = column_of(rows->statement, name);
		if (rows->columns[i] < 0)
			return error_set(error, -EBADMSG, "a query lacks the column '%s': %s", name,
					 sqlite3_sql(rows->statement));
		bound++;
	}
	if (bound == count)
		return 0;
	for (int i = 0; i < count; i++) {
		const char *name = sqlite3_column_name(rows->statement, i);
		const struct row_field *field = row_field_find(rows->fields, name);

		if (!field || field->from != from || column_of(rows->statement, name) != i)
			return error_set(error, -EBADMSG, "nothing reads a query's column '%s': %s",
					 name, sqlite3_sql(rows->statement));
	}
	return error_set(error, -EBADMSG, "two fields read one column of a query: %s",
			 sqlite3_sql(rows->statement));
}

/* Each parameter has its value, and no value is left over. */
static int rows_check(const struct rows *rows, const char *types, struct error *error)
{
	int wanted = sqlite3_bind_parameter_count(rows->statement);

	if (wanted == (int)strlen(types))
		return 0;
	return error_set(error, -EBADMSG, "a query has %d parameters, and %zu values are given: %s",
			 wanted, strlen(types), sqlite3_sql(rows->statement));
}

static int rows_open_list(struct rows *ret_rows, struct db *db, const struct row_field *fields,
			  int from, struct error *error, const char *sql, const char *types,
			  va_list list)
{
	struct rows rows = { .db = db, .fields = fields };
	int result;

	if (sqlite3_prepare_v2(db->connection, sql, -1, &rows.statement, NULL) != SQLITE_OK)
		return db_error(db, error);
	result = rows_check(&rows, types, error);
	for (int i = 0; types[i] && !result; i++)
		if (types[i] == 'i')
			sqlite3_bind_int64(rows.statement, i + 1, va_arg(list, int64_t));
		else
			sqlite3_bind_text(rows.statement, i + 1, va_arg(list, const char *), -1,
					  SQLITE_STATIC);
	if (!result)
		result = rows_bind(&rows, from, error);
	if (result)
		rows_close(&rows);
	else
		*ret_rows = rows;
	return result;
}

int rows_open(struct rows *ret_rows, struct db *db, const struct row_field *fields, int from,
	      struct error *error, const char *sql, const char *types, ...)
{
	va_list list;
	int result;

	va_start(list, types);
	result = rows_open_list(ret_rows, db, fields, from, error, sql, types, list);
	va_end(list);
	return result;
}

void rows_close(struct rows *rows)
{
	sqlite3_finalize(rows->statement);
	rows->statement = NULL;
}

static void field_read(sqlite3_stmt *statement, int column, enum row_type type, void *to)
{
	const char *text = NULL;

	if (type == ROW_TEXT || type == ROW_TEXT_OR_NULL || type == ROW_COPY)
		text = (const char *)sqlite3_column_text(statement, column);
	switch (type) {
	case ROW_NUMBER:
		*(int64_t *)to = sqlite3_column_type(statement, column) == SQLITE_NULL
					 ? UNKNOWN
					 : sqlite3_column_int64(statement, column);
		break;
	case ROW_COUNT:
		*(int64_t *)to = sqlite3_column_int64(statement, column);
		break;
	case ROW_REAL:
		*(double *)to = sqlite3_column_double(statement, column);
		break;
	case ROW_FLAG:
		*(bool *)to = sqlite3_column_int64(statement, column) != 0;
		break;
	case ROW_TEXT:
		*(const char **)to = text ? text : "";
		break;
	case ROW_TEXT_OR_NULL:
		*(const char **)to = text;
		break;
	case ROW_COPY:
		free(*(char **)to);
		*(char **)to = memory_copy(text ? text : "");
		break;
	}
}

int rows_next(struct rows *rows, void *row, struct error *error)
{
	int result = rows->statement ? sqlite3_step(rows->statement) : SQLITE_DONE;

	if (result != SQLITE_ROW) {
		result = result == SQLITE_DONE ? 0 : db_error(rows->db, error);
		rows_close(rows);
		return result;
	}
	for (int i = 0; rows->fields[i].name; i++)
		if (rows->columns[i] >= 0)
			field_read(rows->statement, rows->columns[i], rows->fields[i].type,
				   (char *)row + rows->fields[i].offset);
	if (rows->derive)
		rows->derive(row);
	return 1;
}

static int rows_last(struct rows *rows, void *row, struct error *error)
{
	int found = 0, result;

	while ((result = rows_next(rows, row, error)) > 0)
		found = 1;
	return result ? result : found;
}

int rows_one(void *row, struct db *db, const struct row_field *fields, int from,
	     struct error *error, const char *sql, const char *types, ...)
{
	struct rows rows;
	va_list list;
	int result;

	va_start(list, types);
	result = rows_open_list(&rows, db, fields, from, error, sql, types, list);
	va_end(list);
	return result ? result : rows_last(&rows, row, error);
}

int rows_number(int64_t *ret_number, struct db *db, struct error *error, const char *sql,
		const char *types, ...)
{
	static const struct row_field fields[] = { { "number", ROW_COUNT, 0, 0 }, ROW_END };
	int64_t number = 0;
	struct rows rows;
	va_list list;
	int result;

	va_start(list, types);
	result = rows_open_list(&rows, db, fields, 0, error, sql, types, list);
	va_end(list);
	if (!result)
		result = rows_last(&rows, &number, error);
	if (result < 0)
		return result;
	*ret_number = number;
	return 0;
}
