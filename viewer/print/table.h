/*
 * Tables: one description of the columns gives the aligned table for a terminal, JSON (an array of
 * objects with raw numbers) and CSV (raw numbers, a header line).
 */
#ifndef HEAPTAPE_VIEWER_PRINT_TABLE_H
#define HEAPTAPE_VIEWER_PRINT_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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
void table_free(struct table *table);
size_t table_rows(const struct table *table);

/* The next cell, from left to right, row after row. */
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

/* What --json and --csv ask for, else the table. Returns STATUS_DONE. */
int table_show(struct table *table, FILE *out);

/* Columns that text takes on a terminal. */
size_t text_width(const char *text);
/* Writes text as valid UTF-8, with U+FFFD for each byte that is not; with `no_controls` control
 * characters, which could steer a terminal, are written as '?'. */
void text_write(FILE *out, const char *text, size_t bytes, bool no_controls);
char *text_utf8(const char *text); /* a heap copy, valid UTF-8 */
enum fit {
	FIT_START, /* the start is kept */
	FIT_END,
	FIT_NAME /* of a function, and its place: arguments are folded, f<…>(…), then scopes left out */
};
/* A heap copy without control characters, shortened with … to `width` columns (0: no limit). */
char *text_fit(const char *text, size_t width, enum fit fit);

#endif
