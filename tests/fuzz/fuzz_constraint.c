/*
 * From the values of a WHERE clause to ranges (viewer/sqlite/constraint.h): a row of which SQLite says
 * that it meets the conditions must be within them. The input: a byte for each of the row's cells, how
 * far it is from the first value that the cell is compared with, then the conditions, each a column,
 * an operator and a value.
 */
#define SQLITE_CORE 1 /* as in the command: not an extension that is loaded */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/quick_sqlite.h"
#include "tests/fuzz/sql_value.h"
#include "viewer/sqlite/constraint.h"

#define KIND 3
#define COLUMNS 4
#define CONDITIONS_MAX 6
#define FAR 7 /* the cell has a value of its own */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Operators as constraint_plan() writes them; no cell is NULL. */
static const struct comparison {
	char plan;
	const char *number_sql, *kind_sql;
} operators[] = {
	{ '=', "SELECT CAST(? AS INTEGER) = ?", "SELECT CAST(? AS TEXT) = ?" },
	{ '>', "SELECT CAST(? AS INTEGER) > ?", "SELECT CAST(? AS TEXT) > ?" },
	{ 'g', "SELECT CAST(? AS INTEGER) >= ?", "SELECT CAST(? AS TEXT) >= ?" },
	{ '<', "SELECT CAST(? AS INTEGER) < ?", "SELECT CAST(? AS TEXT) < ?" },
	{ 'l', "SELECT CAST(? AS INTEGER) <= ?", "SELECT CAST(? AS TEXT) <= ?" },
	{ 'n', "SELECT 0", "SELECT 0" },
	{ 'N', "SELECT 1", "SELECT 1" },
};
#define OPERATORS (sizeof(operators) / sizeof(operators[0]))

static sqlite3_stmt *truth[2][OPERATORS]; /* of numbers, of kinds */
static sqlite3_stmt *load;

static struct condition {
	unsigned column, op;
} conditions[CONDITIONS_MAX];
static int condition_count;
static int64_t cells[COLUMNS];
static unsigned distances[COLUMNS];

/* Near a bound is where it goes wrong. */
static void set_cells(sqlite3_value **values)
{
	for (int i = condition_count; i-- > 0;) {
		unsigned column = conditions[i].column;
		int64_t value = sqlite3_value_int64(values[i]);

		if (column != KIND && distances[column] != FAR)
			cells[column] = (int64_t)((uint64_t)value + distances[column] - 3);
	}
}

static bool is_true(unsigned at, sqlite3_value *value)
{
	const struct condition *condition = &conditions[at];
	bool is_kind = condition->column == KIND, result;
	sqlite3_stmt *statement = truth[is_kind][condition->op];

	if (is_kind)
		sqlite3_bind_text(statement, 1, event_kind_name((unsigned)cells[KIND]), -1,
				  SQLITE_STATIC);
	else
		sqlite3_bind_int64(statement, 1, cells[condition->column]);
	sqlite3_bind_value(statement, 2, value);
	if (sqlite3_step(statement) != SQLITE_ROW)
		abort();
	result = sqlite3_column_int(statement, 0);
	sqlite3_reset(statement);
	return result;
}

static bool is_within(const struct constraint_set *set)
{
	for (unsigned column = 0; column < COLUMNS; column++)
		if (column != KIND && !in_range(set->range[column], cells[column]))
			return false;
	return set->kinds >> cells[KIND] & 1;
}

static void load_function(sqlite3_context *context, int count, sqlite3_value **values)
{
	char plan[2 * CONDITIONS_MAX + 1] = "";
	struct constraint_set set;

	(void)context, (void)count;
	for (int i = 0; i < condition_count; i++) {
		plan[2 * i] = (char)('A' + conditions[i].column);
		plan[2 * i + 1] = operators[conditions[i].op].plan;
	}
	set_cells(values);
	if (!constraint_set_load(&set, plan, condition_count, values, KIND) && is_within(&set))
		return;
	for (int i = 0; i < condition_count; i++)
		if (!is_true((unsigned)i, values[i]))
			return;
	for (int i = 0; i < condition_count; i++)
		fprintf(stderr, "%lld %c %s\n", (long long)cells[conditions[i].column],
			plan[2 * i + 1], (const char *)sqlite3_value_text(values[i]));
	abort();
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		abort();
	return statement;
}

static void make(void)
{
	sqlite3 *db;

	quick_sqlite();
	if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
	    sqlite3_create_function_v2(db, "load", CONDITIONS_MAX, SQLITE_UTF8, NULL, load_function,
				       NULL, NULL, NULL) != SQLITE_OK)
		abort();
	for (unsigned i = 0; i < OPERATORS; i++) {
		truth[0][i] = prepare(db, operators[i].number_sql);
		truth[1][i] = prepare(db, operators[i].kind_sql);
	}
	load = prepare(db, "SELECT load(?, ?, ?, ?, ?, ?)");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = { data, data + bytes };

	if (!load)
		make();
	for (unsigned column = 0; column < COLUMNS; column++) {
		unsigned byte = take(&input);

		distances[column] = byte % (FAR + 1);
		if (column == KIND)
			cells[column] = 1 + byte % (EVENT_KIND_COUNT - 1);
		else
			cells[column] = distances[column] == FAR ? take_number(&input) : 0;
	}
	condition_count = 0;
	while (condition_count < CONDITIONS_MAX && input.at < input.end) {
		struct condition *condition = &conditions[condition_count++];

		condition->column = take(&input) % COLUMNS;
		condition->op = take(&input) % OPERATORS;
		bind_value(load, condition_count, &input);
	}
	for (int i = condition_count; i < CONDITIONS_MAX; i++)
		sqlite3_bind_null(load, i + 1);
	if (sqlite3_step(load) != SQLITE_ROW)
		abort();
	sqlite3_reset(load);
	return 0;
}
