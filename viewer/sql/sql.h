/* Running SQL for `heaptape sql`: statements in, one result after another out. */
#ifndef HEAPTAPE_VIEWER_SQL_SQL_H
#define HEAPTAPE_VIEWER_SQL_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sql_mode { SQL_TABLE, SQL_JSON, SQL_CSV };

struct sql_session {
	sqlite3 *db;
	enum sql_mode mode;
	bool write;
	bool quit; /* .quit */
};

/* Every statement of the text; complains about the first that fails and returns false. */
bool sql_run(struct sql_session *session, const char *text);

/* One line that begins with a dot: .tables .schema .mode .help .quit */
bool sql_dot(struct sql_session *session, const char *line);

/* The names of such lines, with the dot; NULL: there are no more. */
const char *sql_dot_name(size_t index);

/* A whole script: statements, and dot lines between them. */
bool sql_script(struct sql_session *session, const char *text);

/* Lines from the terminal until .quit or end of file. */
void sql_prompt(struct sql_session *session);

/* events and allocations of a run (0: all runs) as plain tables plain_events, plain_allocations. */
bool sql_materialize(sqlite3 *db, int64_t run_id);

#endif
