#include "proto/statement.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* The place of `name` in the list; -1: it is not there. */
static int find(const char *name, const char *const *names, unsigned count)
{
	for (unsigned i = 0; name && i < count; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

static int look_up(struct statement *statement, const char *const *names, unsigned count)
{
	int parameters = sqlite3_bind_parameter_count(statement->sql);
	int columns = sqlite3_column_count(statement->sql);

	if (count > STATEMENT_NAMES_MAX || parameters > 64 || columns > UINT8_MAX)
		return -EINVAL;
	for (int i = 1; i <= parameters; i++) {
		const char *name = sqlite3_bind_parameter_name(statement->sql, i);
		int at = name && name[0] == ':' ? find(name + 1, names, count) : -1;

		if (at < 0)
			return -EINVAL;
		statement->parameters[at] = (uint8_t)i;
		statement->wanted |= UINT64_C(1) << (i - 1);
	}
	for (int i = 0; i < columns; i++) {
		int at = find(sqlite3_column_name(statement->sql, i), names, count);

		if (at < 0 || statement->columns[at])
			return -EINVAL;
		statement->columns[at] = (uint8_t)(i + 1);
	}
	return 0;
}

int statement_prepare(struct statement *statement, sqlite3 *db, const char *sql,
		      const char *const *names, unsigned count)
{
	int error;

	*statement = (struct statement){ 0 };
	if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement->sql, NULL) !=
	    SQLITE_OK)
		return -EIO;
	error = look_up(statement, names, count);
	if (error)
		statement_release(statement);
	return error;
}

void statement_release(struct statement *statement)
{
	sqlite3_finalize(statement->sql);
	*statement = (struct statement){ 0 };
}

bool statement_has(const struct statement *statement, unsigned name)
{
	return statement->parameters[name] || statement->columns[name];
}

static int parameter(struct statement *statement, unsigned name)
{
	int number = statement->parameters[name];

	assert(number && "the statement has this parameter");
	statement->bound |= UINT64_C(1) << (number - 1);
	return number;
}

void statement_bind_all(struct statement *statement, const struct statement_value *values,
			size_t count)
{
	for (size_t i = 0; i < count; i++)
		sqlite3_bind_int64(statement->sql, parameter(statement, values[i].name),
				   (sqlite3_int64)values[i].value);
}

void statement_bind_known(struct statement *statement, unsigned name, bool known, uint64_t value)
{
	int number = parameter(statement, name);

	if (known)
		sqlite3_bind_int64(statement->sql, number, (sqlite3_int64)value);
	else
		sqlite3_bind_null(statement->sql, number);
}

void statement_bind_text(struct statement *statement, unsigned name, const char *text)
{
	sqlite3_bind_text(statement->sql, parameter(statement, name), text, -1, SQLITE_STATIC);
}

void statement_bind_blob(struct statement *statement, unsigned name, const void *blob, size_t bytes)
{
	sqlite3_bind_blob64(statement->sql, parameter(statement, name), blob, bytes, SQLITE_STATIC);
}

void statement_bind_copy(struct statement *statement, unsigned name, const char *text, size_t bytes)
{
	sqlite3_bind_text(statement->sql, parameter(statement, name), text, (int)bytes,
			  SQLITE_TRANSIENT);
}

int statement_step(struct statement *statement)
{
	assert(statement->bound == statement->wanted && "every parameter has a value");
	return sqlite3_step(statement->sql);
}

static int column(const struct statement *statement, unsigned name)
{
	assert(statement->columns[name] && "the statement gives this column");
	return statement->columns[name] - 1;
}

int64_t statement_number(const struct statement *statement, unsigned name)
{
	return sqlite3_column_int64(statement->sql, column(statement, name));
}

const char *statement_text(const struct statement *statement, unsigned name)
{
	return (const char *)sqlite3_column_text(statement->sql, column(statement, name));
}

int statement_reset(struct statement *statement)
{
	int result = sqlite3_reset(statement->sql);

	sqlite3_clear_bindings(statement->sql);
	statement->bound = 0;
	return result;
}
