/*
 * From a WHERE clause to ranges. In xBestIndex, constraint_plan() picks the constraints on pushed
 * columns and writes them down as the plan's text, two characters each: 'A' + column, operator.
 * In xFilter, constraint_set_load() turns plan and values into one range per column. SQLite checks
 * every row again, so a range may be wider than the constraint, never narrower.
 */
#ifndef HEAPTAPE_VIEWER_SQLITE_CONSTRAINT_H
#define HEAPTAPE_VIEWER_SQLITE_CONSTRAINT_H

#include <stdbool.h>
#include <stdint.h>

#include "viewer/sqlite/scan.h"
#include "viewer/sqlite/sqlite_api.h"

#define CONSTRAINT_COLUMNS 24

struct constraint_column {
	int column;	  /* -1: end of the list */
	double rows_left; /* share of the rows that an equality leaves */
	double work_left; /* share of the chunks that must still be opened */
	bool nullable;	  /* IS NULL and IS NOT NULL are wanted too (operators 'n', 'N') */
};

struct constraint_set {
	struct range range[CONSTRAINT_COLUMNS];
	uint32_t kinds;
};

int constraint_plan(sqlite3_index_info *info, const struct constraint_column *pushed, double rows);

/* True when no row can match (a comparison with NULL, or an empty range). */
bool constraint_set_load(struct constraint_set *set, const char *plan, int argc,
			 sqlite3_value **argv, int kind_column);

/* Events in the whole file, for estimates. */
double constraint_rows(sqlite3 *db);

#endif
