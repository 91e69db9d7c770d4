/* Running SQL for `heaptape sql`: statements in, one result after another out. */
#ifndef HEAPTAPE_VIEWER_SQL_SQL_H
#define HEAPTAPE_VIEWER_SQL_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "viewer/error.h"
#include "viewer/model/db.h"
#include "viewer/print/table.h"

struct sql_session {
	struct db *db;
	FILE *out;
	enum table_form form;
	bool write; /* the database is opened for it */
	bool quit;  /* .quit */
};

/* Every statement of the text, up to the first that fails. */
int sql_run(struct sql_session *session, const char *text, struct error *error);

/* One line that begins with a dot: .tables .schema .mode .help .quit */
int sql_dot(struct sql_session *session, const char *line, struct error *error);

/* The names of such lines, with the dot; NULL: there are no more. */
const char *sql_dot_name(size_t index);

/* A whole script: statements, and dot lines between them. */
int sql_script(struct sql_session *session, const char *text, struct error *error);

/* Lines from the terminal until .quit or end of file; `report` is told of each that failed. */
void sql_prompt(struct sql_session *session, void (*report)(const struct error *error));

struct sql_materialized {
	int64_t events, allocations; /* rows of the plain tables */
};

/* events and allocations of a run (0: all runs) as plain tables plain_events, plain_allocations.
 * `progress` is told now and then how many rows are written, of about how many; it may be NULL. */
int sql_materialize(struct db *db, int64_t run_id, void (*progress)(int64_t rows, int64_t expected),
		    struct sql_materialized *ret_materialized, struct error *error);

#endif
