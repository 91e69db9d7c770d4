/* A table on a terminal. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/print/format.h"
#include "viewer/print/table_cells.h"
#include "viewer/print/text.h"

#define COLUMN_GAP 2
#define FLEX_LEAST 8

/* A cell as the screen shows it: a heap copy. */
static char *cell_screen(const struct cell *cell, enum cell_kind kind)
{
	const char *text = "";
	double real = cell->type == TYPE_NUMBER ? (double)cell->number : cell->real;

	if (cell->type == TYPE_TEXT)
		return text_fit(cell->text, 0, FIT_START);
	if (cell->type == TYPE_NULL)
		return memory_copy(kind == CELL_TEXT || kind == CELL_ANY ? "" : "-");
	if (kind == CELL_PERCENT)
		return memory_copy(format_percent(real, 1));
	if (cell->type == TYPE_REAL &&
	    (kind == CELL_ANY || kind == CELL_PLAIN || kind == CELL_TEXT))
		return memory_print("%.6g", cell->real);
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
	return memory_copy(text);
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
	char **texts = memory_alloc((table->cell_count + 1) * sizeof(*texts));
	size_t *widths = memory_alloc(count * sizeof(*widths));
	bool *left = memory_alloc(count);

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
	size_t *widths = memory_alloc(count * sizeof(*widths));
	bool *left = memory_alloc(count), fits;
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
