/* heaptape runs: what is recorded. */
#include "viewer/command/commands.h"
#include "viewer/command/recording.h"
#include "viewer/print/table.h"

static const struct option_row rows[] = { OPTION_DB, OPTION_JSON, OPTION_CSV, OPTIONS_END };

static const struct column columns[] = {
	{ "run_id", "Run", CELL_PLAIN, 0 },
	{ "label", "Label", CELL_TEXT, COLUMN_FLEX },
	{ "started_at", "Started", CELL_WHEN, 0 },
	{ "duration_ns", "Took", CELL_DURATION, 0 },
	{ "state", "State", CELL_TEXT, COLUMN_DATA },
	{ "exit_code", "Code", CELL_PLAIN, COLUMN_DATA },
	{ "exit_signal", "Signal", CELL_PLAIN, COLUMN_DATA },
	{ "ending", "Ended", CELL_TEXT, COLUMN_SCREEN },
	{ "processes", "Processes", CELL_COUNT, COLUMN_DATA },
	{ "unrecorded_processes", "Unrecorded", CELL_COUNT, COLUMN_DATA },
	{ "events", "Events", CELL_COUNT, COLUMN_DATA },
	{ "lost_events", "Lost", CELL_COUNT, COLUMN_DATA },
	{ "allocations", "Allocs", CELL_SHORT, 0 },
	{ "peak_bytes", "Peak", CELL_BYTES, 0 },
	{ "live_bytes", "Leaked", CELL_BYTES, COLUMN_DATA },
	{ "command", "Command", CELL_TEXT, COLUMN_DATA },
	{ "short_command", "Command", CELL_TEXT, COLUMN_FLEX | COLUMN_SCREEN },
};

static int add_run(struct db *db, int64_t run_id, struct table *table, struct error *error)
{
	struct run run;
	int result = run_load(db, run_id, &run, error);

	if (result)
		return result;
	table_row(table, &run);
	run_release(&run);
	return 0;
}

static int add_runs(struct db *db, struct table *table, struct error *error)
{
	static const struct row_field fields[] = { { "run_id", ROW_COUNT, 0, 0 }, ROW_END };
	struct rows ids;
	int64_t run_id;
	int result = rows_open(&ids, db, fields, 0, error,
			       "SELECT run_id FROM runs ORDER BY run_id", "");

	if (result)
		return result;
	while ((result = rows_next(&ids, &run_id, error)) > 0) {
		result = add_run(db, run_id, table, error);
		if (result)
			break;
	}
	rows_close(&ids);
	return result;
}

static int runs_main(int argc, char **argv)
{
	struct db db = { NULL, NULL };
	struct table *table;
	struct error error;
	int result;

	if (argc)
		return usage_error("runs", "unexpected argument '%s'", argv[0]);
	table = table_new_of(columns, sizeof(columns) / sizeof(*columns), run_fields);
	result = recording_open_db(cli_database(), &db, &error);
	if (!result)
		result = add_runs(&db, table, &error);
	db_close(&db);
	if (!result && !table_rows(table) && cli_form() == TABLE_SCREEN)
		complain("no run is recorded in '%s' yet", cli_database());
	else if (!result)
		table_show(table, stdout, cli_form());
	table_free(table);
	return result ? cli_failed(&error) : STATUS_DONE;
}

const struct command command_runs = {
	.name = "runs",
	.arguments = "",
	.summary = "list what is recorded",
	.options = rows,
	.main = runs_main,
};
