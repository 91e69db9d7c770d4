/* A table for programs: CSV and JSON. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "viewer/print/table_cells.h"
#include "viewer/print/text.h"

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

void table_json_members(const struct table *table, size_t row, struct json *json)
{
	for (size_t i = 0; i < table->column_count; i++) {
		const struct cell *cell = &table->cells[row * table->column_count + i];
		const char *name = table->columns[i].name;

		if (table->columns[i].flags & COLUMN_SCREEN)
			continue;
		if (cell->type == TYPE_TEXT)
			json_bytes(json, name, cell->text, cell->bytes);
		else if (cell->type == TYPE_NUMBER)
			json_number(json, name, cell->number);
		else if (cell->type == TYPE_REAL)
			json_real(json, name, cell->real);
		else
			json_null(json, name);
	}
}

void table_json(const struct table *table, struct json *json, const char *key)
{
	json_array(json, key);
	for (size_t row = 0; row < table_rows(table); row++) {
		json_object(json, NULL);
		json_one_line(json);
		table_json_members(table, row, json);
		json_end(json);
	}
	json_end(json);
}
