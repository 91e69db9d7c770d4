/* heaptape sql: any question, in SQL. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/recorder.h"
#include "proto/store.h"
#include "viewer/command/commands.h"
#include "viewer/model/db.h"
#include "viewer/record/names.h"
#include "viewer/model/run.h"
#include "viewer/sql/sql.h"
#include "viewer/sqlite/heaptape_sqlite.h"

static struct {
	bool write;
	bool materialize;
} options;

static const struct option_row rows[] = {
	OPTION_DB,
	OPTION_JSON,
	OPTION_CSV,
	{ "write", 'w', NULL, "allow changes to the database", OPTION_FLAG, &options.write },
	{ "materialize", 0, NULL,
	  "write events and allocations (of RUN or of all) out as plain tables", OPTION_FLAG,
	  &options.materialize },
	OPTIONS_END
};

static sqlite3 *open_for_sql(void)
{
	struct store_error error = { "" };
	sqlite3 *db = NULL;
	int result;

	if (!options.write && !options.materialize) {
		db = db_open();
		names_ask(db);
	} else {
		result = store_open(cli_database(), STORE_WRITE, &db, &error);
		if (result)
			die("%s", error.text[0] ? error.text : strerror(-result));
		recorder_end_left(db);
	}
	if (heaptape_sqlite_register(db) != SQLITE_OK)
		die("cannot add the tables events, allocations and pages: %s", sqlite3_errmsg(db));
	return db;
}

static char *read_input(void)
{
	size_t bytes = 0, room = 1 << 16, got;
	char *text = must_alloc(room);

	while ((got = fread(text + bytes, 1, room - bytes - 1, stdin)) > 0) {
		bytes += got;
		if (bytes == room - 1) {
			room *= 2;
			text = must_grow(text, room);
		}
	}
	if (ferror(stdin))
		die("cannot read the script: %s", strerror(errno));
	text[bytes] = 0;
	return text;
}

static int sql_main(int argc, char **argv)
{
	struct sql_session session = { .mode = shared.json  ? SQL_JSON
					       : shared.csv ? SQL_CSV
							    : SQL_TABLE,
				       .write = options.write };
	bool good = true;

	if (argc > 1)
		return usage_error("sql", "%d arguments, but a query is one: put it into quotes",
				   argc);
	session.db = open_for_sql();
	if (options.materialize) {
		good = sql_materialize(session.db, argc ? run_select(session.db, argv[0]) : 0);
	} else if (argc) {
		good = sql_script(&session, argv[0]);
	} else if (isatty(STDIN_FILENO)) {
		sql_prompt(&session);
	} else {
		char *text = read_input();

		good = sql_script(&session, text);
		free(text);
	}
	db_close(session.db);
	return good ? STATUS_DONE : STATUS_FAILED;
}

const struct command command_sql = {
	.name = "sql",
	.arguments = "[QUERY]",
	.summary = "ask anything in SQL: a query, a script on stdin, or a prompt",
	.details =
		"Tables: runs, processes, threads, stacks, frames, stack_totals, samples and more, "
		"and\n"
		"events, allocations and pages with every single event; '.tables' and '.schema' "
		"list\n"
		"them. Without QUERY a script is read from standard input, or a prompt opens on a\n"
		"terminal. 'heaptape sql --materialize [RUN]' writes plain_events and\n"
		"plain_allocations for SQLite clients that cannot load heaptape_sqlite.so.",
	.options = rows,
	.main = sql_main,
};
