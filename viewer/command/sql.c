/* heaptape sql: any question, in SQL. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/command/commands.h"
#include "viewer/command/recording.h"
#include "viewer/memory.h"
#include "viewer/print/format.h"
#include "viewer/record/names.h"
#include "viewer/sql/sql.h"

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

static int open_for_sql(struct db *ret_db, struct error *error)
{
	struct db db = { NULL, NULL };
	int result;

	if (options.write || options.materialize) {
		result = db_open_to_write(cli_database(), &db, error);
	} else {
		result = recording_open_db(cli_database(), &db, error);
		if (!result)
			result = names_ask(&db, error);
	}
	if (!result)
		result = db_register(&db, error);
	if (result)
		db_close(&db);
	else
		*ret_db = db;
	return result;
}

static int read_input(char **ret_text, struct error *error)
{
	size_t bytes = 0, room = 1 << 16, got;
	char *text = memory_alloc(room);

	while ((got = fread(text + bytes, 1, room - bytes - 1, stdin)) > 0) {
		bytes += got;
		if (bytes == room - 1) {
			room *= 2;
			text = memory_grow(text, room);
		}
	}
	if (ferror(stdin)) {
		free(text);
		return error_set(error, -errno, "cannot read the script: %s", strerror(errno));
	}
	text[bytes] = 0;
	*ret_text = text;
	return 0;
}

static int run_input(struct sql_session *session, struct error *error)
{
	char *text = NULL;
	int result = read_input(&text, error);

	if (result)
		return result;
	result = sql_script(session, text, error);
	free(text);
	return result;
}

static void progress_cb(int64_t written, int64_t expected)
{
	fprintf(stderr, "\rheaptape: %s of about %s rows written ...", format_short_count(written),
		format_short_count(expected));
}

static int materialize(struct db *db, const char *run, struct error *error)
{
	bool shown = isatty(STDERR_FILENO);
	struct sql_materialized made;
	int64_t run_id = 0;
	int result = run ? run_select(db, run, &run_id, error) : 0;

	if (!result)
		result = sql_materialize(db, run_id, shown ? progress_cb : NULL, &made, error);
	if (shown)
		fputs("\r\033[K", stderr);
	if (!result)
		complain("plain_events holds %s, plain_allocations %s",
			 format_plural(made.events, "row", "rows"),
			 format_plural(made.allocations, "row", "rows"));
	return result;
}

static void report_cb(const struct error *error)
{
	cli_failed(error);
}

static int answer(struct db *db, const char *query, struct error *error)
{
	struct sql_session session = {
		.db = db, .out = stdout, .form = cli_form(), .write = options.write
	};

	if (options.materialize)
		return materialize(db, query, error);
	if (query)
		return sql_script(&session, query, error);
	if (!isatty(STDIN_FILENO))
		return run_input(&session, error);
	sql_prompt(&session, report_cb);
	return 0;
}

static int sql_main(int argc, char **argv)
{
	struct error error;
	struct db db;
	int result;

	if (argc > 1)
		return usage_error("sql", "%d arguments, but a query is one: put it into quotes",
				   argc);
	result = open_for_sql(&db, &error);
	if (result)
		return cli_failed(&error);
	result = answer(&db, argc ? argv[0] : NULL, &error);
	db_close(&db);
	return result ? cli_failed(&error) : STATUS_DONE;
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
