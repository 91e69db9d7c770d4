/* heaptape runs: what is recorded. */
#include <stdlib.h>
#include <string.h>

#include "viewer/command/commands.h"
#include "viewer/model/db.h"
#include "viewer/print/format.h"
#include "viewer/model/run.h"
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
	{ "command", "Command", CELL_TEXT, COLUMN_FLEX | COLUMN_SCREEN },
};

/* The short form for the list: "0", "SIGSEGV", "running"; what is not complete says so. */
static void ending_cell(struct table *table, const struct run *run)
{
	char *text;

	if (!strcmp(run->state, "running"))
		text = must_copy("running");
	else if (run->exit_signal != UNKNOWN && run->exit_signal > 0)
		text = must_copy(run_ending(run) + strlen("killed by "));
	else if (run->exit_code != UNKNOWN)
		text = must_copy(format_plain(run->exit_code));
	else
		text = must_copy("?");
	if (!strcmp(run->state, "cut") || !strcmp(run->state, "incomplete")) {
		char *longer = must_print("%s, %s", text, run->state);

		free(text);
		text = longer;
	}
	table_text(table, text);
	free(text);
}

static void number_cell(struct table *table, int64_t number)
{
	if (number == UNKNOWN)
		table_null(table);
	else
		table_number(table, number);
}

static int runs_main(int argc, char **argv)
{
	struct table *table;
	sqlite3_stmt *list;
	sqlite3 *db;

	if (argc)
		return usage_error("runs", "'%s' is one argument too many", argv[0]);
	db = db_open();
	table = table_new(columns, sizeof(columns) / sizeof(*columns));
	list = db_query(db, "SELECT run_id FROM runs ORDER BY run_id", "");
	while (db_next(list)) {
		struct run run;

		run_load(db, sqlite3_column_int64(list, 0), &run);
		table_number(table, run.run_id);
		table_text(table, run.label);
		table_number(table, run.started_at);
		number_cell(table, run_duration(&run));
		table_text(table, run.state);
		number_cell(table, run.exit_code);
		number_cell(table, run.exit_signal);
		ending_cell(table, &run);
		table_number(table, run.processes);
		table_number(table, run.unrecorded);
		table_number(table, run.events);
		table_number(table, run.lost_events);
		table_number(table, run.allocations);
		table_number(table, run.peak_bytes);
		table_number(table, run.live_bytes);
		table_text(table, run.command);
		table_text(table, command_short(run.command));
		run_release(&run);
	}
	db_close(db);
	if (!table_rows(table) && !shared.json && !shared.csv)
		complain("no run is recorded in '%s' yet", cli_database());
	else
		table_show(table, stdout);
	table_free(table);
	return STATUS_DONE;
}

const struct command command_runs = {
	.name = "runs",
	.arguments = "",
	.summary = "list what is recorded",
	.options = rows,
	.main = runs_main,
};
