/*
 * Tables: one description of the columns gives the aligned table for a terminal, JSON (an array of
 * objects with raw numbers) and CSV (raw numbers, a header line). A table of fields (model/rows.h) fills
 * them by name.
 */
#ifndef HEAPTAPE_VIEWER_PRINT_TABLE_H
#define HEAPTAPE_VIEWER_PRINT_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "viewer/model/rows.h"
#include "viewer/print/json.h"

enum cell_kind {
	CELL_TEXT,
	CELL_COUNT,    /* thousands separators */
	CELL_SHORT,    /* 1.30 M */
	CELL_BYTES,    /* KiB, MiB */
	CELL_DURATION, /* from nanoseconds */
	CELL_WHEN,     /* nanoseconds since 1970, to the minute */
	CELL_PLAIN,    /* ids */
	CELL_PERCENT,  /* a fraction of 1 */
	CELL_ANY       /* text or numbers as they are */
};

enum column_flag {
	COLUMN_FLEX = 1,   /* shortened when the terminal is too narrow */
	COLUMN_DATA = 2,   /* in JSON and CSV only */
	COLUMN_SCREEN = 4, /* on the screen only */
	COLUMN_TAIL = 8,   /* shortened at its beginning: the end says more */
	COLUMN_NAME = 16,  /* shortened as a function's name is */
};

struct column {
	const char *name;  /* in JSON and CSV: as the database calls it */
	const char *title; /* on the screen */
	enum cell_kind kind;
	unsigned flags;
};

struct table;

/* `columns` must outlive the table. */
struct table *table_new(const struct column *columns, size_t count);
/* A table whose columns are filled by the fields of the same names; a column without one aborts. */
struct table *table_new_of(const struct column *columns, size_t count,
			   const struct row_field *fields);
void table_free(struct table *table);
size_t table_rows(const struct table *table);

/* Adds a row of a table made by table_new_of(). UNKNOWN and NULL are cells that nothing is known of. */
void table_row(struct table *table, const void *row);
/* Adds all rows of a query; `row` is room for one. */
int table_fill(struct table *table, struct rows *rows, void *row, struct error *error);

/* The next cell, from left to right, row after row: for tables whose columns a query decides. */
void table_text(struct table *table, const char *text); /* NULL: nothing known */
void table_data(struct table *table, const char *text, size_t bytes);
void table_number(struct table *table, int64_t number);
void table_real(struct table *table, double number);
void table_null(struct table *table);

/* Text printed, indented, under the row just completed; screen only. Takes a heap copy. */
void table_under(struct table *table, const char *text);

void table_print(struct table *table, FILE *out, int indent);
/* Forgets the rows and keeps the widths: the next table_print goes on without a header. */
void table_continue(struct table *table);
/* Whether table_print can show all numbers within the terminal's width. */
bool table_fits(const struct table *table, FILE *out);
/* "name = value" lines, a blank line after each row: for rows too wide to stand side by side. */
void table_lines(const struct table *table, FILE *out);
void table_csv(const struct table *table, FILE *out);
void table_csv_rows(const struct table *table, FILE *out); /* without the header line */
void table_json(const struct table *table, struct json *json, const char *key);

enum table_form { TABLE_SCREEN, TABLE_JSON, TABLE_CSV };
void table_show(struct table *table, FILE *out, enum table_form form);

/* One row's columns as members of the innermost JSON object. */
void columns_json(const struct column *columns, size_t count, const struct row_field *fields,
		  const void *row, struct json *json);

#endif
