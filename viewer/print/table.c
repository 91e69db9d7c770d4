#include "viewer/print/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/print/table_cells.h"

struct table *table_new(const struct column *columns, size_t count)
{
	struct table *table = memory_alloc(sizeof(*table));

	assert(count);
	table->columns = columns;
	table->column_count = count;
	return table;
}

/* Ends the process when there is none: the column's name is misspelt. */
static const struct row_field *field_of(const struct row_field *fields, const char *name)
{
	const struct row_field *field = row_field_find(fields, name);

	if (!field) {
		fprintf(stderr, "heaptape: no field fills the column '%s'\n", name);
		abort();
	}
	return field;
}

struct table *table_new_of(const struct column *columns, size_t count,
			   const struct row_field *fields)
{
	struct table *table = table_new(columns, count);

	table->fields = memory_alloc(count * sizeof(*table->fields));
	for (size_t i = 0; i < count; i++)
		table->fields[i] = field_of(fields, columns[i].name);
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->cell_count; i++)
		free(table->cells[i].text);
	for (size_t i = 0; i < table->under_room; i++)
		free(table->under[i]);
	free(table->cells);
	free(table->under);
	free(table->widths);
	free(table->fields);
	free(table);
}

void table_continue(struct table *table)
{
	for (size_t i = 0; i < table->cell_count; i++)
		free(table->cells[i].text);
	table->cell_count = 0;
}

size_t table_rows(const struct table *table)
{
	return table->cell_count / table->column_count;
}

static struct cell *table_cell(struct table *table)
{
	struct cell *cell;

	if (table->cell_count == table->cell_room) {
		table->cell_room = table->cell_room ? 2 * table->cell_room : 64;
		table->cells = memory_grow(table->cells, table->cell_room * sizeof(*table->cells));
	}
	cell = &table->cells[table->cell_count++];
	*cell = (struct cell){ .type = TYPE_NULL };
	return cell;
}

void table_data(struct table *table, const char *text, size_t bytes)
{
	struct cell *cell = table_cell(table);

	cell->type = TYPE_TEXT;
	cell->text = memory_alloc(bytes + 1);
	memcpy(cell->text, text, bytes);
	cell->bytes = bytes;
}

void table_text(struct table *table, const char *text)
{
	if (text)
		table_data(table, text, strlen(text));
	else
		table_null(table);
}

void table_number(struct table *table, int64_t number)
{
	struct cell *cell = table_cell(table);

	cell->type = TYPE_NUMBER;
	cell->number = number;
}

void table_real(struct table *table, double number)
{
	struct cell *cell = table_cell(table);

	cell->type = TYPE_REAL;
	cell->real = number;
}

void table_null(struct table *table)
{
	table_cell(table);
}

void table_under(struct table *table, const char *text)
{
	size_t row = table_rows(table) - 1;

	if (row >= table->under_room) {
		size_t room = 2 * row + 16;

		table->under = memory_grow(table->under, room * sizeof(*table->under));
		memset(table->under + table->under_room, 0,
		       (room - table->under_room) * sizeof(*table->under));
		table->under_room = room;
	}
	free(table->under[row]);
	table->under[row] = memory_copy(text);
}

void table_row(struct table *table, const void *row)
{
	for (size_t i = 0; i < table->column_count; i++) {
		const void *at = (const char *)row + table->fields[i]->offset;
		int64_t number;

		switch (table->fields[i]->type) {
		case ROW_NUMBER:
		case ROW_COUNT:
			number = *(const int64_t *)at;
			if (number == UNKNOWN)
				table_null(table);
			else
				table_number(table, number);
			break;
		case ROW_REAL:
			table_real(table, *(const double *)at);
			break;
		case ROW_FLAG:
			table_number(table, *(const bool *)at);
			break;
		case ROW_TEXT:
		case ROW_TEXT_OR_NULL:
		case ROW_COPY:
			table_text(table, *(const char *const *)at);
			break;
		}
	}
}

int table_fill(struct table *table, struct rows *rows, void *row, struct error *error)
{
	int result;

	while ((result = rows_next(rows, row, error)) > 0)
		table_row(table, row);
	return result;
}

void table_show(struct table *table, FILE *out, enum table_form form)
{
	struct json json;

	if (form == TABLE_JSON) {
		json_init(&json, out);
		table_json(table, &json, NULL);
	} else if (form == TABLE_CSV) {
		table_csv(table, out);
	} else {
		table_print(table, out, 0);
	}
}

void columns_json(const struct column *columns, size_t count, const struct row_field *fields,
		  const void *row, struct json *json)
{
	struct table *table = table_new_of(columns, count, fields);

	table_row(table, row);
	table_json_members(table, 0, json);
	table_free(table);
}
