/*
 * Rows of a query as structs. A table of fields says which column goes where; columns are found by name,
 * once per statement. A field without its column, and a column without its field, fail at once.
 *
 *	struct sample { int64_t at_ns; const char *name; };
 *	static const struct row_field sample_fields[] = {
 *		{ "at_ns", ROW_NUMBER, offsetof(struct sample, at_ns), 0 },
 *		{ "name", ROW_TEXT, offsetof(struct sample, name), 0 },
 *		ROW_END
 *	};
 */
#ifndef HEAPTAPE_VIEWER_MODEL_ROWS_H
#define HEAPTAPE_VIEWER_MODEL_ROWS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "viewer/error.h"
#include "viewer/model/db.h"

/* A number that the recording does not have. */
#define UNKNOWN INT64_MIN

enum row_type {
	ROW_NUMBER,	  /* int64_t; UNKNOWN for NULL */
	ROW_COUNT,	  /* int64_t; 0 for NULL */
	ROW_REAL,	  /* double; 0 for NULL */
	ROW_FLAG,	  /* bool; false for NULL */
	ROW_TEXT,	  /* const char *, the statement's until the next row; "" for NULL */
	ROW_TEXT_OR_NULL, /* const char *, the same; NULL for NULL */
	ROW_COPY	  /* char *, the struct's: frees the one before; "" for NULL */
};

/* Where a field's value comes from: ROW_DERIVED from no statement (it is computed), else a number; a
 * struct that several statements fill together has several of them. */
#define ROW_DERIVED (-1)

struct row_field {
	const char *name; /* NULL ends the table */
	enum row_type type;
	size_t offset;
	int from;
};
#define ROW_END               \
	{                     \
		NULL, 0, 0, 0 \
	}

#define ROW_FIELDS_MAX 64

struct rows {
	struct db *db;
	sqlite3_stmt *statement; /* NULL: there are no more */
	const struct row_field *fields;
	int columns[ROW_FIELDS_MAX]; /* by field; -1: not of this statement */
	void (*derive)(void *row);   /* computes what no column has; may be NULL */
};

/*
 * Prepares `sql` for the fields `from` it. `types` has a letter for each parameter that follows: 'i' an
 * int64_t, 's' a text that outlives the statement.
 */
int rows_open(struct rows *ret_rows, struct db *db, const struct row_field *fields, int from,
	      struct error *error, const char *sql, const char *types, ...);
/* 1: *row is filled; 0: there are no more. After 0 and errors everything is released. */
int rows_next(struct rows *rows, void *row, struct error *error);
/* For a reader that stops before the end; harmless after it. */
void rows_close(struct rows *rows);

/* The one row that the query has: 1, 0 when it has none. Of several the last. */
int rows_one(void *row, struct db *db, const struct row_field *fields, int from,
	     struct error *error, const char *sql, const char *types, ...);

/* The query's one number, by its one column `number`. */
int rows_number(int64_t *ret_number, struct db *db, struct error *error, const char *sql,
		const char *types, ...);

/* NULL: there is no such field. */
const struct row_field *row_field_find(const struct row_field *fields, const char *name);

#endif
