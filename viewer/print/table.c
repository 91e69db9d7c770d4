#include "viewer/print/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/command/cli.h"
#include "viewer/print/format.h"

enum cell_type { TYPE_NULL, TYPE_NUMBER, TYPE_REAL, TYPE_TEXT };

struct cell {
	enum cell_type type;
	int64_t number;
	double real;
	char *text;
	size_t bytes;
};

struct table {
	const struct column *columns;
	size_t column_count;
	struct cell *cells;
	size_t cell_count;
	size_t cell_room;
	char **under; /* by row */
	size_t under_room;
	size_t *widths; /* of the last print, when the table goes on */
};

#define COLUMN_GAP 2
#define FLEX_LEAST 8

struct table *table_new(const struct column *columns, size_t count)
{
	struct table *table = must_alloc(sizeof(*table));

	assert(count);
	table->columns = columns;
	table->column_count = count;
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
		table->cells = must_grow(table->cells, table->cell_room * sizeof(*table->cells));
	}
	cell = &table->cells[table->cell_count++];
	*cell = (struct cell){ .type = TYPE_NULL };
	return cell;
}

void table_data(struct table *table, const char *text, size_t bytes)
{
	struct cell *cell = table_cell(table);

	cell->type = TYPE_TEXT;
	cell->text = must_alloc(bytes + 1);
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

		table->under = must_grow(table->under, room * sizeof(*table->under));
		memset(table->under + table->under_room, 0,
		       (room - table->under_room) * sizeof(*table->under));
		table->under_room = room;
	}
	free(table->under[row]);
	table->under[row] = must_copy(text);
}

/* A cell as the screen shows it: a heap copy. */
static char *cell_screen(const struct cell *cell, enum cell_kind kind)
{
	const char *text = "";
	double real = cell->type == TYPE_NUMBER ? (double)cell->number : cell->real;

	if (cell->type == TYPE_TEXT)
		return text_fit(cell->text, 0, FIT_START);
	if (cell->type == TYPE_NULL)
		return must_copy(kind == CELL_TEXT || kind == CELL_ANY ? "" : "-");
	if (kind == CELL_PERCENT)
		return must_copy(format_percent(real, 1));
	if (cell->type == TYPE_REAL &&
	    (kind == CELL_ANY || kind == CELL_PLAIN || kind == CELL_TEXT))
		return must_print("%.6g", cell->real);
	switch (kind) {
	case CELL_COUNT:
		text = format_count((int64_t)(cell->type == TYPE_REAL ? cell->real : 0) +
				    (cell->type == TYPE_NUMBER ? cell->number : 0));
		break;
	case CELL_BYTES:
		text = format_bytes(cell->type == TYPE_NUMBER ? cell->number : (int64_t)real);
		break;
	case CELL_DURATION:
		text = format_duration(cell->type == TYPE_NUMBER ? cell->number : (int64_t)real);
		break;
	case CELL_SHORT:
		text = format_short_count(cell->number);
		break;
	case CELL_WHEN:
		text = format_when_short(cell->number);
		break;
	default:
		text = format_plain(cell->number);
	}
	return must_copy(text);
}

static bool column_shown(const struct column *column)
{
	return !(column->flags & COLUMN_DATA);
}

/* Text stands left; numbers right, under a title that stands right too. */
static bool column_left(const struct table *table, size_t column)
{
	if (table->columns[column].kind == CELL_TEXT)
		return true;
	if (table->columns[column].kind != CELL_ANY)
		return false;
	for (size_t at = column; at < table->cell_count; at += table->column_count)
		if (table->cells[at].type == TYPE_TEXT)
			return true;
	return false;
}

/* Numbers are never shortened: half a number is a wrong one. */
static bool column_shrinks(const struct column *column, bool left)
{
	return (column->flags & COLUMN_FLEX) && (column->kind != CELL_ANY || left);
}

static size_t widths_total(const struct table *table, const size_t *widths)
{
	size_t total = 0;

	for (size_t i = 0; i < table->column_count; i++)
		if (column_shown(&table->columns[i]))
			total += widths[i] + (total ? COLUMN_GAP : 0);
	return total;
}

/* Narrow flexible columns, the widest first, until the line fits; false when it cannot. */
static bool widths_fit(const struct table *table, size_t *widths, const bool *left, size_t room)
{
	while (widths_total(table, widths) > room) {
		size_t widest = SIZE_MAX;

		for (size_t i = 0; i < table->column_count; i++)
			if (column_shown(&table->columns[i]) &&
			    column_shrinks(&table->columns[i], left[i]) && widths[i] > FLEX_LEAST &&
			    (widest == SIZE_MAX || widths[i] > widths[widest]))
				widest = i;
		if (widest == SIZE_MAX)
			return false;
		widths[widest]--;
	}
	return true;
}

static void pad(FILE *out, size_t columns)
{
	while (columns--)
		fputc(' ', out);
}

static void print_cell(FILE *out, const char *text, size_t width, bool left, bool last)
{
	size_t used = text_width(text);
	size_t missing = used < width ? width - used : 0;

	if (!left)
		pad(out, missing);
	fputs(text, out);
	if (left && !last)
		pad(out, missing);
}

static void print_header(const struct table *table, FILE *out, int indent, const size_t *widths,
			 const bool *left, size_t last)
{
	pad(out, (size_t)indent);
	fputs(style_on(out, STYLE_DIM), out);
	for (size_t i = 0; i < table->column_count; i++)
		if (column_shown(&table->columns[i])) {
			print_cell(out, table->columns[i].title, widths[i], left[i], i == last);
			if (i != last)
				pad(out, COLUMN_GAP);
		}
	fputs(style_on(out, STYLE_OFF), out);
	fputc('\n', out);
}

void table_print(struct table *table, FILE *out, int indent)
{
	size_t count = table->column_count, rows = table_rows(table), last = 0;
	int limit = terminal_width(out);
	char **texts = must_alloc((table->cell_count + 1) * sizeof(*texts));
	size_t *widths = must_alloc(count * sizeof(*widths));
	bool *left = must_alloc(count);

	for (size_t i = 0; i < count; i++) {
		widths[i] = table->widths ? table->widths[i] : text_width(table->columns[i].title);
		left[i] = column_left(table, i);
		if (column_shown(&table->columns[i]))
			last = i;
	}
	for (size_t at = 0; at < rows * count; at++) {
		size_t width;

		texts[at] = cell_screen(&table->cells[at], table->columns[at % count].kind);
		width = text_width(texts[at]);
		if (width > widths[at % count])
			widths[at % count] = width;
	}
	if (limit)
		widths_fit(table, widths, left, limit > indent ? (size_t)(limit - indent) : 1);

	if (!table->widths)
		print_header(table, out, indent, widths, left, last);
	for (size_t row = 0; row < rows; row++) {
		pad(out, (size_t)indent);
		for (size_t i = 0; i < count; i++) {
			const struct column *column = &table->columns[i];
			char *text = texts[row * count + i];

			if (!column_shown(column))
				continue;
			if (text_width(text) > widths[i]) {
				char *fitted = text_fit(text, widths[i],
							column->flags & COLUMN_NAME   ? FIT_NAME
							: column->flags & COLUMN_TAIL ? FIT_END
										      : FIT_START);

				free(text);
				texts[row * count + i] = text = fitted;
			}
			print_cell(out, text, widths[i], left[i], i == last);
			if (i != last)
				pad(out, COLUMN_GAP);
		}
		fputc('\n', out);
		if (row < table->under_room && table->under[row])
			fputs(table->under[row], out);
	}
	for (size_t at = 0; at < rows * count; at++)
		free(texts[at]);
	free(texts);
	free(left);
	free(table->widths);
	table->widths = widths;
}

bool table_fits(const struct table *table, FILE *out)
{
	size_t count = table->column_count;
	size_t *widths = must_alloc(count * sizeof(*widths));
	bool *left = must_alloc(count), fits;
	int limit = terminal_width(out);

	assert(count);
	for (size_t i = 0; i < count; i++) {
		widths[i] = text_width(table->columns[i].title);
		left[i] = column_left(table, i);
	}
	for (size_t at = 0; at < table->cell_count; at++) {
		char *text = cell_screen(&table->cells[at], table->columns[at % count].kind);
		size_t width = text_width(text);

		if (width > widths[at % count])
			widths[at % count] = width;
		free(text);
	}
	fits = !limit || widths_fit(table, widths, left, (size_t)limit);
	free(widths);
	free(left);
	return fits;
}

void table_lines(const struct table *table, FILE *out)
{
	size_t count = table->column_count, width = 0;

	assert(count);
	for (size_t i = 0; i < count; i++)
		if (text_width(table->columns[i].title) > width)
			width = text_width(table->columns[i].title);
	for (size_t at = 0; at < table->cell_count; at++) {
		const struct column *column = &table->columns[at % count];
		char *text = cell_screen(&table->cells[at], column->kind);

		print_cell(out, column->title, width, false, false);
		fprintf(out, " = %s\n%s", text, at % count == count - 1 ? "\n" : "");
		free(text);
	}
}

/* One CSV field, quoted where it must be; without control characters on a terminal. */
static void csv_field(FILE *out, bool terminal, const char *text, size_t bytes)
{
	bool quoted = !bytes;
	const char *end = text + bytes;

	for (const char *at = text; at < end && !quoted; at++)
		quoted = strchr("\",\n\r", *at) && *at;
	if (quoted)
		fputc('"', out);
	while (text < end) {
		const char *quote = memchr(text, '"', (size_t)(end - text));
		size_t length = (size_t)((quote ? quote + 1 : end) - text);

		text_write(out, text, length, terminal);
		if (quote)
			fputc('"', out);
		text += length;
	}
	if (quoted)
		fputc('"', out);
}

void table_csv(const struct table *table, FILE *out)
{
	size_t count = table->column_count;
	bool first = true, terminal = isatty(fileno(out));

	for (size_t i = 0; i < count; i++)
		if (!(table->columns[i].flags & COLUMN_SCREEN)) {
			fprintf(out, "%s", first ? "" : ",");
			csv_field(out, terminal, table->columns[i].name,
				  strlen(table->columns[i].name));
			first = false;
		}
	fputs("\n", out);
	table_csv_rows(table, out);
}

void table_csv_rows(const struct table *table, FILE *out)
{
	size_t count = table->column_count;
	bool first = true, terminal = isatty(fileno(out));

	assert(count);
	for (size_t at = 0; at < table->cell_count; at++) {
		const struct cell *cell = &table->cells[at];

		if (at % count == 0)
			first = true;
		if (!(table->columns[at % count].flags & COLUMN_SCREEN)) {
			if (!first)
				fputc(',', out);
			first = false;
			if (cell->type == TYPE_TEXT)
				csv_field(out, terminal, cell->text, cell->bytes);
			else if (cell->type == TYPE_NUMBER)
				fprintf(out, "%" PRId64, cell->number);
			else if (cell->type == TYPE_REAL)
				fprintf(out, "%.15g", cell->real);
		}
		if (at % count == count - 1)
			fputs("\n", out);
	}
}

void table_json(const struct table *table, struct json *json, const char *key)
{
	size_t count = table->column_count;

	json_array(json, key);
	for (size_t at = 0; at < table->cell_count; at++) {
		const struct cell *cell = &table->cells[at];
		const char *name = table->columns[at % count].name;

		if (at % count == 0) {
			json_object(json, NULL);
			json_one_line(json);
		}
		if (!(table->columns[at % count].flags & COLUMN_SCREEN)) {
			if (cell->type == TYPE_TEXT)
				json_bytes(json, name, cell->text, cell->bytes);
			else if (cell->type == TYPE_NUMBER)
				json_number(json, name, cell->number);
			else if (cell->type == TYPE_REAL)
				json_real(json, name, cell->real);
			else
				json_null(json, name);
		}
		if (at % count == count - 1)
			json_end(json);
	}
	json_end(json);
}

int table_show(struct table *table, FILE *out)
{
	struct json json;

	if (shared.json) {
		json_init(&json, out);
		table_json(table, &json, NULL);
	} else if (shared.csv) {
		table_csv(table, out);
	} else {
		table_print(table, out, 0);
	}
	return STATUS_DONE;
}
