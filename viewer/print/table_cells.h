/* Inside a table: for table.c, table_screen.c and table_data.c. */
#ifndef HEAPTAPE_VIEWER_PRINT_TABLE_CELLS_H
#define HEAPTAPE_VIEWER_PRINT_TABLE_CELLS_H

#include "viewer/print/table.h"

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
	const struct row_field **fields; /* by column; NULL: the cells are given one by one */
	size_t column_count;
	struct cell *cells;
	size_t cell_count;
	size_t cell_room;
	char **under; /* by row */
	size_t under_room;
	size_t *widths; /* of the last print, when the table goes on */
};

/* The cells of one row as members of the innermost object. */
void table_json_members(const struct table *table, size_t row, struct json *json);

#endif
