#include "viewer/print/report_tables.h"

#include <stdlib.h>
#include <string.h>

#include "viewer/command/cli.h"
#include "viewer/model/db.h"
#include "viewer/print/format.h"

#define OF_RUN "(SELECT process_id FROM processes WHERE run_id = ?1)"
#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

static const struct column process_columns[] = {
	{ "process_id", "Process", CELL_PLAIN, COLUMN_DATA },
	{ "pid", "Pid", CELL_PLAIN, 0 },
	{ "parent_process_id", "Parent", CELL_PLAIN, COLUMN_DATA },
	{ "started_ns", "Began", CELL_DURATION, 0 },
	{ "duration_ns", "Took", CELL_DURATION, 0 },
	{ "ending", "Ended", CELL_TEXT, COLUMN_DATA },
	{ "exit_code", "Code", CELL_PLAIN, COLUMN_DATA },
	{ "exit_signal", "Signal", CELL_PLAIN, COLUMN_DATA },
	{ "end", "End", CELL_TEXT, COLUMN_SCREEN },
	{ "events", "Events", CELL_COUNT, COLUMN_DATA },
	{ "lost_events", "Lost", CELL_COUNT, COLUMN_DATA },
	{ "allocations", "Allocations", CELL_COUNT, 0 },
	{ "allocated_bytes", "Requested", CELL_BYTES, COLUMN_DATA },
	{ "peak_bytes", "Peak", CELL_BYTES, 0 },
	{ "peak_ns", "Peak at", CELL_DURATION, COLUMN_DATA },
	{ "live_blocks", "Blocks", CELL_COUNT, COLUMN_DATA },
	{ "live_bytes", "Live", CELL_BYTES, 0 },
	{ "executable", "Executable", CELL_TEXT, COLUMN_DATA },
	{ "command", "Command", CELL_TEXT, COLUMN_DATA },
	{ "title", "Title", CELL_TEXT, COLUMN_DATA },
	{ "forked", "Forked", CELL_PLAIN, COLUMN_DATA },
	{ "unrecorded_reason", "Reason", CELL_TEXT, COLUMN_DATA },
	{ "command", "Command", CELL_TEXT, COLUMN_FLEX | COLUMN_SCREEN },
};

static void number_cell(struct table *table, sqlite3_stmt *row, int column)
{
	if (sqlite3_column_type(row, column) == SQLITE_NULL)
		table_null(table);
	else
		table_number(table, sqlite3_column_int64(row, column));
}

static void text_cell(struct table *table, sqlite3_stmt *row, int column)
{
	if (sqlite3_column_type(row, column) == SQLITE_NULL)
		table_null(table);
	else
		table_text(table, column_string(row, column));
}

/* "0", "SIGKILL", "exec", "running" */
static const char *process_end(sqlite3_stmt *row, int ending, int code, int signal_column)
{
	const char *text = column_string(row, ending);
	int64_t number = column_number(row, signal_column, 0);
	const char *name = number > 0 ? sigabbrev_np((int)number) : NULL;
	static char ring[32];

	if (number > 0) {
		snprintf(ring, sizeof(ring), "SIG%s", name ? name : format_plain(number));
		return ring;
	}
	if (!strcmp(text, "exited"))
		return format_plain(column_number(row, code, 0));
	return text;
}

struct table *processes_table(sqlite3 *db, const struct run *run, int64_t most)
{
	struct table *table = table_new(process_columns, COUNT_OF(process_columns));
	sqlite3_stmt *row =
		db_query(db,
			 "SELECT process_id, pid, parent_process_id, started_ns, ended_ns - "
			 "started_ns, ending, "
			 "exit_code, exit_signal, events, lost_events, allocations, "
			 "allocated_bytes, peak_bytes, "
			 "peak_ns, live_blocks, live_bytes, executable, command, "
			 "title, forked, unrecorded_reason, coalesce(title, command) "
			 "FROM processes WHERE process_id IN (SELECT process_id FROM processes "
			 "WHERE run_id = ?1 AND (NOT ?2 OR unrecorded_reason IS NULL) "
			 "ORDER BY allocations DESC, process_id LIMIT iif(?2, ?2, -1)) "
			 "ORDER BY started_ns, process_id",
			 "ii", run->run_id, most);

	while (db_next(row)) {
		for (int i = 0; i < 5; i++)
			number_cell(table, row, i);
		table_text(table, column_string(row, 5));
		number_cell(table, row, 6);
		number_cell(table, row, 7);
		table_text(table, process_end(row, 5, 6, 7));
		for (int i = 8; i < 16; i++)
			number_cell(table, row, i);
		table_text(table, column_string(row, 16));
		table_text(table, column_string(row, 17));
		text_cell(table, row, 18);
		number_cell(table, row, 19);
		text_cell(table, row, 20);
		table_text(table, command_short(column_string(row, 21)));
	}
	return table;
}

static const struct column unrecorded_columns[] = {
	{ "pid", "Pid", CELL_PLAIN, 0 },
	{ "started_ns", "Began", CELL_DURATION, 0 },
	{ "duration_ns", "Took", CELL_DURATION, 0 },
	{ "end", "End", CELL_TEXT, 0 },
	{ "command", "Command", CELL_TEXT, COLUMN_FLEX },
	{ "unrecorded_reason", "Reason", CELL_TEXT, COLUMN_FLEX },
};

struct table *unrecorded_table(sqlite3 *db, const struct run *run, int64_t most)
{
	struct table *table = table_new(unrecorded_columns, COUNT_OF(unrecorded_columns));
	sqlite3_stmt *row =
		db_query(db,
			 "SELECT pid, started_ns, ended_ns - started_ns, ending, exit_code, "
			 "exit_signal, command, unrecorded_reason FROM processes "
			 "WHERE run_id = ?1 AND unrecorded_reason IS NOT NULL "
			 "ORDER BY started_ns, process_id LIMIT ?2",
			 "ii", run->run_id, most);

	while (db_next(row)) {
		for (int i = 0; i < 3; i++)
			number_cell(table, row, i);
		table_text(table, process_end(row, 3, 4, 5));
		table_text(table, command_short(column_string(row, 6)));
		table_text(table, column_string(row, 7));
	}
	return table;
}

static const struct column thread_columns[] = {
	{ "thread_id", "Id", CELL_PLAIN, COLUMN_DATA },
	{ "process_id", "Process", CELL_PLAIN, COLUMN_DATA },
	{ "number", "Thread", CELL_PLAIN, 0 },
	{ "tid", "Tid", CELL_PLAIN, 0 },
	{ "name", "Name", CELL_TEXT, COLUMN_FLEX },
	{ "started_ns", "Began", CELL_DURATION, COLUMN_DATA },
	{ "ended_ns", "Ended", CELL_DURATION, COLUMN_DATA },
	{ "events", "Events", CELL_COUNT, COLUMN_DATA },
	{ "lost_events", "Lost", CELL_COUNT, COLUMN_DATA },
	{ "allocations", "Allocations", CELL_COUNT, 0 },
	{ "allocated_bytes", "Bytes", CELL_BYTES, 0 },
	{ "frees", "Frees", CELL_COUNT, 0 },
	{ "freed_bytes", "Freed", CELL_BYTES, 0 },
};

struct table *threads_table(sqlite3 *db, const struct run *run, int64_t most)
{
	struct table *table = table_new(thread_columns, COUNT_OF(thread_columns));
	sqlite3_stmt *row = db_query(
		db,
		"SELECT thread_id, process_id, number, tid, name, started_ns, ended_ns, events, "
		"lost_events, allocations, allocated_bytes, frees, freed_bytes FROM threads "
		"WHERE process_id IN " OF_RUN
		" ORDER BY allocations DESC, thread_id LIMIT iif(?2, ?2, -1)",
		"ii", run->run_id, most);

	while (db_next(row))
		for (int i = 0; i < 13; i++) {
			if (i == 4)
				table_text(table, column_string(row, i));
			else
				number_cell(table, row, i);
		}
	return table;
}

static const struct column size_columns[] = {
	{ "up_to_bytes", "Up to", CELL_BYTES, 0 },
	{ "allocations", "Allocations", CELL_COUNT, 0 },
	{ "allocated_bytes", "Bytes", CELL_BYTES, 0 },
	{ "live_blocks", "Live blocks", CELL_COUNT, 0 },
	{ "live_bytes", "Live", CELL_BYTES, 0 },
};

struct table *sizes_table(sqlite3 *db, const struct run *run)
{
	struct table *table = table_new(size_columns, COUNT_OF(size_columns));
	sqlite3_stmt *row =
		db_query(db,
			 "SELECT up_to_bytes, total(allocations), total(allocated_bytes), "
			 "total(live_blocks), "
			 "total(live_bytes) FROM size_histogram WHERE process_id IN " OF_RUN
			 " GROUP BY up_to_bytes ORDER BY up_to_bytes",
			 "i", run->run_id);

	while (db_next(row))
		for (int i = 0; i < 5; i++)
			table_number(table, sqlite3_column_int64(row, i));
	return table;
}

static const struct column cut_columns[] = {
	{ "process_id", "Process", CELL_PLAIN, 0 },
	{ "reason", "Reason", CELL_TEXT, 0 },
	{ "stacks", "Stacks", CELL_COUNT, 0 },
};

struct table *stack_cuts_table(sqlite3 *db, const struct run *run)
{
	struct table *table = table_new(cut_columns, COUNT_OF(cut_columns));
	sqlite3_stmt *row = db_query(db,
				     "SELECT process_id, reason, stacks FROM stack_cuts "
				     "WHERE process_id IN " OF_RUN " ORDER BY 1, 3 DESC",
				     "i", run->run_id);

	while (db_next(row)) {
		table_number(table, sqlite3_column_int64(row, 0));
		table_text(table, column_string(row, 1));
		table_number(table, sqlite3_column_int64(row, 2));
	}
	return table;
}

static const struct column band_columns[] = {
	{ "size", "Size", CELL_TEXT, 0 },
	{ "allocations", "Allocations", CELL_COUNT, 0 },
	{ "share", "Share", CELL_PERCENT, 0 },
	{ "bar", "", CELL_TEXT, 0 },
	{ "allocated_bytes", "Bytes", CELL_BYTES, 0 },
	{ "live_bytes", "Still live", CELL_BYTES, 0 },
};

#define BAR_WIDTH 16

static void bar_cell(struct table *table, int64_t part, int64_t whole)
{
	static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	int64_t steps = whole ? (part * BAR_WIDTH * 8 + whole / 2) / whole : 0;
	char bar[BAR_WIDTH * 3 + 8] = "";

	for (int64_t i = 0; i < steps / 8; i++)
		strcat(bar, "█");
	strcat(bar, eighths[steps % 8]);
	table_text(table, bar);
}

struct table *size_bands_table(sqlite3 *db, const struct run *run)
{
	static const int64_t bands[] = { 0,    16,   32,    64,	    128,     256,      512,
					 1024, 4096, 32768, 262144, 2097152, INT64_MAX };
	enum { BANDS = COUNT_OF(bands) };
	int64_t sums[BANDS][3] = { { 0 } }, most = 0, all = 0;
	struct table *table = table_new(band_columns, COUNT_OF(band_columns));
	sqlite3_stmt *row = db_query(db,
				     "SELECT up_to_bytes, allocations, allocated_bytes, live_bytes "
				     "FROM size_histogram WHERE process_id IN " OF_RUN,
				     "i", run->run_id);

	while (db_next(row)) {
		size_t band = 0;

		while (bands[band] < sqlite3_column_int64(row, 0))
			band++;
		for (int i = 0; i < 3; i++)
			sums[band][i] += sqlite3_column_int64(row, 1 + i);
		all += sqlite3_column_int64(row, 1);
	}
	for (size_t i = 0; i < BANDS; i++)
		most = sums[i][0] > most ? sums[i][0] : most;
	for (size_t i = 0; i < BANDS; i++) {
		char *size;

		if (!sums[i][0])
			continue;
		if (i == 0)
			size = must_copy("0 B");
		else if (i == BANDS - 1)
			size = must_print("over %s", format_bytes(bands[i - 1]));
		else
			size = must_print("up to %s", format_bytes(bands[i]));
		table_text(table, size);
		free(size);
		table_number(table, sums[i][0]);
		table_real(table, all ? (double)sums[i][0] / (double)all : 0);
		bar_cell(table, sums[i][0], most);
		table_number(table, sums[i][1]);
		table_number(table, sums[i][2]);
	}
	return table;
}

static const struct column site_columns[] = {
	{ "site", "Call site", CELL_TEXT, COLUMN_FLEX | COLUMN_NAME },
	{ "function", "Function", CELL_TEXT, 0 },
	{ "file", "File", CELL_TEXT, 0 },
	{ "line", "Line", CELL_PLAIN, 0 },
	{ "stacks", "Stacks", CELL_COUNT, 0 },
	{ "main_stack_id", "Stack", CELL_PLAIN, 0 },
	{ "allocations", "Allocations", CELL_COUNT, 0 },
	{ "allocated_bytes", "Bytes", CELL_BYTES, 0 },
	{ "frees", "Frees", CELL_COUNT, 0 },
	{ "freed_bytes", "Freed", CELL_BYTES, 0 },
	{ "temporary", "Temporary", CELL_COUNT, 0 },
	{ "peak_blocks", "At peak", CELL_COUNT, 0 },
	{ "peak_bytes", "At peak", CELL_BYTES, 0 },
	{ "live_blocks", "Live", CELL_COUNT, 0 },
	{ "live_bytes", "Live", CELL_BYTES, 0 },
};

struct table *sites_table(const struct profile *profile, const struct site *sites, size_t count)
{
	struct table *table = table_new(site_columns, COUNT_OF(site_columns));

	for (size_t i = 0; i < count; i++) {
		const struct frame *frame = &profile->frames[sites[i].frame];

		table_text(table, sites[i].text);
		table_text(table, frame->function);
		table_text(table, frame->file);
		if (frame->line > 0)
			table_number(table, frame->line);
		else
			table_null(table);
		table_number(table, sites[i].stacks);
		table_number(table, sites[i].main_stack);
		for (int metric = 0; metric < METRIC_COUNT; metric++)
			table_number(table, sites[i].values[metric]);
	}
	return table;
}

#define SITE_COLUMNS(title, kind, second_title, second_kind)                        \
	{                                                                           \
		{ "value", title, kind, 0 }, { "share", "Share", CELL_PERCENT, 0 }, \
			{ "second", second_title, second_kind, 0 },                 \
		{                                                                   \
			"site", "Call site", CELL_TEXT, COLUMN_FLEX | COLUMN_NAME   \
		}                                                                   \
	}

const struct site_list site_lists[] = {
	{ "Most bytes allocated", METRIC_ALLOCATED_BYTES, METRIC_ALLOCATIONS,
	  SITE_COLUMNS("Bytes", CELL_BYTES, "Allocations", CELL_COUNT) },
	{ "Most allocations", METRIC_ALLOCATIONS, METRIC_ALLOCATED_BYTES,
	  SITE_COLUMNS("Allocations", CELL_COUNT, "Bytes", CELL_BYTES) },
	{ "Live at the peak", METRIC_PEAK_BYTES, METRIC_PEAK_BLOCKS,
	  SITE_COLUMNS("Bytes", CELL_BYTES, "Blocks", CELL_COUNT) },
	{ "Never freed", METRIC_LIVE_BYTES, METRIC_LIVE_BLOCKS,
	  SITE_COLUMNS("Bytes", CELL_BYTES, "Blocks", CELL_COUNT) },
	{ "Temporary: freed before the thread allocated again", METRIC_TEMPORARY,
	  METRIC_ALLOCATIONS, SITE_COLUMNS("Temporary", CELL_COUNT, "Allocations", CELL_COUNT) },
};
const size_t site_list_count = COUNT_OF(site_lists);

struct table *site_list_table(const struct site_list *list, const struct profile *profile,
			      struct site *sites, size_t count, int64_t most, bool stacks)
{
	struct table *table;

	sites_sort(sites, count, list->metric);
	if (!count || sites[0].values[list->metric] <= 0)
		return NULL;
	table = table_new(list->columns, COUNT_OF(list->columns));
	for (size_t i = 0; i < count && (int64_t)i < most; i++) {
		int64_t value = sites[i].values[list->metric];
		int64_t sum = profile->sums[list->metric];

		if (value <= 0)
			break;
		table_number(table, value);
		table_real(table, sum ? (double)value / (double)sum : 0);
		table_number(table, sites[i].values[list->second]);
		table_text(table, sites[i].text);
		if (stacks) {
			char *lines = stack_lines(profile, sites[i].main_stack, 8);

			table_under(table, lines);
			free(lines);
		}
	}
	return table;
}
