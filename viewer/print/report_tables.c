#include "viewer/print/report_tables.h"

#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/model/lists.h"
#include "viewer/print/format.h"
#include "viewer/print/stack.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

/* The table of an opened query's rows; `result` is what opening it returned. */
static int rows_table(int result, struct rows *rows, void *row, const struct column *columns,
		      size_t count, struct table **ret_table, struct error *error)
{
	struct table *table;

	if (result)
		return result;
	table = table_new_of(columns, count, rows->fields);
	result = table_fill(table, rows, row, error);
	if (result)
		table_free(table);
	else
		*ret_table = table;
	return result;
}
#define ROWS_TABLE(result, row, columns) \
	rows_table(result, &rows, row, columns, COUNT_OF(columns), ret_table, error)

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
	{ "short_command", "Command", CELL_TEXT, COLUMN_FLEX | COLUMN_SCREEN },
};

int processes_table(struct db *db, const struct run *run, int64_t most, struct table **ret_table,
		    struct error *error)
{
	struct process_row row;
	struct rows rows;

	return ROWS_TABLE(processes_open(&rows, db, run, most, error), &row, process_columns);
}

static const struct column unrecorded_columns[] = {
	{ "pid", "Pid", CELL_PLAIN, 0 },
	{ "started_ns", "Began", CELL_DURATION, 0 },
	{ "duration_ns", "Took", CELL_DURATION, 0 },
	{ "end", "End", CELL_TEXT, 0 },
	{ "short_command", "Command", CELL_TEXT, COLUMN_FLEX },
	{ "unrecorded_reason", "Reason", CELL_TEXT, COLUMN_FLEX },
};

int unrecorded_table(struct db *db, const struct run *run, int64_t most, struct table **ret_table,
		     struct error *error)
{
	struct process_row row;
	struct rows rows;

	return ROWS_TABLE(unrecorded_open(&rows, db, run, most, error), &row, unrecorded_columns);
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

int threads_table(struct db *db, const struct run *run, int64_t most, struct table **ret_table,
		  struct error *error)
{
	struct thread_row row;
	struct rows rows;

	return ROWS_TABLE(threads_open(&rows, db, run, most, error), &row, thread_columns);
}

static const struct column size_columns[] = {
	{ "up_to_bytes", "Up to", CELL_BYTES, 0 },
	{ "allocations", "Allocations", CELL_COUNT, 0 },
	{ "allocated_bytes", "Bytes", CELL_BYTES, 0 },
	{ "live_blocks", "Live blocks", CELL_COUNT, 0 },
	{ "live_bytes", "Live", CELL_BYTES, 0 },
};

int sizes_table(struct db *db, const struct run *run, struct table **ret_table, struct error *error)
{
	struct size_row row;
	struct rows rows;

	return ROWS_TABLE(sizes_open(&rows, db, run, error), &row, size_columns);
}

static const struct column cut_columns[] = {
	{ "process_id", "Process", CELL_PLAIN, 0 },
	{ "reason", "Reason", CELL_TEXT, 0 },
	{ "stacks", "Stacks", CELL_COUNT, 0 },
};

int stack_cuts_table(struct db *db, const struct run *run, struct table **ret_table,
		     struct error *error)
{
	struct stack_cut_row row;
	struct rows rows;

	return ROWS_TABLE(stack_cuts_open(&rows, db, run, error), &row, cut_columns);
}

static const struct column gap_columns[] = {
	{ "pid", "Process", CELL_PLAIN, 0 },
	{ "process_id", "process_id", CELL_PLAIN, COLUMN_DATA },
	{ "from_ns", "From", CELL_DURATION, 0 },
	{ "to_ns", "To", CELL_DURATION, 0 },
	{ "known_blocks", "Blocks before", CELL_COUNT, 0 },
	{ "known_bytes", "known_bytes", CELL_BYTES, COLUMN_DATA },
	{ "kept_blocks", "Still live", CELL_COUNT, 0 },
	{ "kept_bytes", "kept_bytes", CELL_BYTES, COLUMN_DATA },
	{ "listed_blocks", "Blocks after", CELL_COUNT, 0 },
	{ "listed_bytes", "Bytes after", CELL_BYTES, 0 },
	{ "complete", "complete", CELL_PLAIN, COLUMN_DATA },
	{ "list", "List", CELL_TEXT, COLUMN_SCREEN },
};

int gaps_table(struct db *db, const struct run *run, int64_t most, struct table **ret_table,
	       struct error *error)
{
	struct gap_row row;
	struct rows rows;

	return ROWS_TABLE(gaps_open(&rows, db, run, most, error), &row, gap_columns);
}

#define BAR_WIDTH 16
#define BAR_BYTES (BAR_WIDTH * 3 + 8)

static void bar_draw(char bar[BAR_BYTES], int64_t part, int64_t whole)
{
	static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	int64_t steps = whole ? (part * BAR_WIDTH * 8 + whole / 2) / whole : 0;

	*bar = '\0';
	for (int64_t i = 0; i < steps / 8; i++)
		strcat(bar, "█");
	strcat(bar, eighths[steps % 8]);
}

/* Sizes from above the band before it to `up_to_bytes`. */
struct band_row {
	int64_t up_to_bytes, allocations, allocated_bytes, live_bytes;
	double share;
	char size_text[32];
	char bar_text[BAR_BYTES];
	const char *size, *bar;
};

#define BAND(member, type)                                                    \
	{                                                                     \
#member, type, offsetof(struct band_row, member), ROW_DERIVED \
	}

static const struct row_field band_fields[] = { BAND(size, ROW_TEXT),
						BAND(bar, ROW_TEXT),
						BAND(share, ROW_REAL),
						BAND(allocations, ROW_NUMBER),
						BAND(allocated_bytes, ROW_NUMBER),
						BAND(live_bytes, ROW_NUMBER),
						ROW_END };

static const struct column band_columns[] = {
	{ "size", "Size", CELL_TEXT, 0 },
	{ "allocations", "Allocations", CELL_COUNT, 0 },
	{ "share", "Share", CELL_PERCENT, 0 },
	{ "bar", "", CELL_TEXT, 0 },
	{ "allocated_bytes", "Bytes", CELL_BYTES, 0 },
	{ "live_bytes", "Still live", CELL_BYTES, 0 },
};

#define BANDS 13

static int bands_sum(struct db *db, const struct run *run, struct band_row bands[BANDS],
		     struct error *error)
{
	struct size_row size;
	struct rows rows;
	int result = sizes_open(&rows, db, run, error);

	while (!result && (result = rows_next(&rows, &size, error)) > 0) {
		size_t band = 0;

		while (bands[band].up_to_bytes < size.up_to_bytes)
			band++;
		bands[band].allocations += size.allocations;
		bands[band].allocated_bytes += size.allocated_bytes;
		bands[band].live_bytes += size.live_bytes;
		result = 0;
	}
	return result;
}

int size_bands_table(struct db *db, const struct run *run, struct table **ret_table,
		     struct error *error)
{
	static const int64_t limits[BANDS] = { 0,    16,   32,	  64,	  128,	   256,	     512,
					       1024, 4096, 32768, 262144, 2097152, INT64_MAX };
	struct band_row bands[BANDS] = { 0 };
	int64_t most = 0, all = 0;
	struct table *table;
	int result;

	for (size_t i = 0; i < BANDS; i++)
		bands[i].up_to_bytes = limits[i];
	result = bands_sum(db, run, bands, error);
	if (result)
		return result;
	for (size_t i = 0; i < BANDS; i++) {
		most = bands[i].allocations > most ? bands[i].allocations : most;
		all += bands[i].allocations;
	}
	table = table_new_of(band_columns, COUNT_OF(band_columns), band_fields);
	for (size_t i = 0; i < BANDS; i++) {
		struct band_row *band = &bands[i];

		if (!band->allocations)
			continue;
		snprintf(band->size_text, sizeof(band->size_text), "%s%s",
			 i == 0		  ? ""
			 : i == BANDS - 1 ? "over "
					  : "up to ",
			 format_bytes(limits[i == BANDS - 1 ? i - 1 : i]));
		band->size = band->size_text;
		band->share = all ? (double)band->allocations / (double)all : 0;
		bar_draw(band->bar_text, band->allocations, most);
		band->bar = band->bar_text;
		table_row(table, band);
	}
	*ret_table = table;
	return 0;
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
	struct table *table = table_new_of(site_columns, COUNT_OF(site_columns), site_fields);

	for (size_t i = 0; i < count; i++) {
		struct site_row row;

		site_row_fill(&row, profile, &sites[i], METRIC_ALLOCATED_BYTES);
		table_row(table, &row);
	}
	return table;
}

#define SITE_COLUMNS(name, title, kind, second, second_title, second_kind)        \
	{                                                                         \
		{ name, title, kind, 0 }, { "share", "Share", CELL_PERCENT, 0 },  \
			{ second, second_title, second_kind, 0 },                 \
		{                                                                 \
			"site", "Call site", CELL_TEXT, COLUMN_FLEX | COLUMN_NAME \
		}                                                                 \
	}

const struct site_list site_lists[] = {
	{ "Most bytes allocated", METRIC_ALLOCATED_BYTES,
	  SITE_COLUMNS("allocated_bytes", "Bytes", CELL_BYTES, "allocations", "Allocations",
		       CELL_COUNT) },
	{ "Most allocations", METRIC_ALLOCATIONS,
	  SITE_COLUMNS("allocations", "Allocations", CELL_COUNT, "allocated_bytes", "Bytes",
		       CELL_BYTES) },
	{ "Live at the peak", METRIC_PEAK_BYTES,
	  SITE_COLUMNS("peak_bytes", "Bytes", CELL_BYTES, "peak_blocks", "Blocks", CELL_COUNT) },
	{ "Never freed", METRIC_LIVE_BYTES,
	  SITE_COLUMNS("live_bytes", "Bytes", CELL_BYTES, "live_blocks", "Blocks", CELL_COUNT) },
	{ "Temporary: freed before the thread allocated again", METRIC_TEMPORARY,
	  SITE_COLUMNS("temporary", "Temporary", CELL_COUNT, "allocations", "Allocations",
		       CELL_COUNT) },
};
const size_t site_list_count = COUNT_OF(site_lists);

struct table *site_list_table(const struct site_list *list, const struct profile *profile,
			      struct site *sites, size_t count, int64_t most, bool stacks)
{
	struct table *table;

	sites_sort(sites, count, list->metric);
	if (!count || sites[0].values[list->metric] <= 0)
		return NULL;
	table = table_new_of(list->columns, COUNT_OF(list->columns), site_fields);
	for (size_t i = 0; i < count && (int64_t)i < most; i++) {
		struct site_row row;

		if (sites[i].values[list->metric] <= 0)
			break;
		site_row_fill(&row, profile, &sites[i], list->metric);
		table_row(table, &row);
		if (stacks) {
			char *lines = stack_lines(profile, sites[i].main_stack, 8,
						  terminal_width(stdout));

			table_under(table, lines);
			free(lines);
		}
	}
	return table;
}
