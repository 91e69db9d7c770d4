/* heaptape diff: what changed from one run to another. */
#include <stdlib.h>
#include <string.h>

#include "viewer/command/commands.h"
#include "viewer/command/recording.h"
#include "viewer/memory.h"
#include "viewer/model/changes.h"
#include "viewer/model/metric.h"
#include "viewer/model/site.h"
#include "viewer/print/format.h"
#include "viewer/print/table.h"
#include "viewer/print/text.h"

static struct {
	const char *by;
	int64_t top;
} options = { .by = "allocated", .top = 15 };

static const struct option_row rows[] = {
	OPTION_DB,
	{ "by", 0, "WHAT", MEASURE_NAMES " (default: allocated)", OPTION_TEXT, &options.by },
	{ "top", 'n', "N", "call sites to show (default: 15; 0: all)", OPTION_NUMBER,
	  &options.top },
	OPTION_MATCH,
	OPTION_MODULE,
	OPTION_WRAPPERS,
	OPTION_JSON,
	{ "csv", 0, NULL, "print the call sites as CSV, all of them", OPTION_FLAG, &shared.csv },
	OPTIONS_END
};

/* "+12.3 MiB" */
static char *signed_text(int64_t value, enum cell_kind kind)
{
	const char *text = kind == CELL_BYTES	   ? format_bytes(value)
			   : kind == CELL_DURATION ? format_duration(value)
						   : format_count(value);

	return memory_print("%s%s", value > 0 ? "+" : "", value ? text : "=");
}

static const char *plain_text(int64_t value, enum cell_kind kind)
{
	return kind == CELL_BYTES      ? format_bytes(value)
	       : kind == CELL_DURATION ? format_duration(value)
				       : format_count(value);
}

/* The runs' totals, by the names of run_fields. */
static const struct column total_columns[] = {
	{ "duration_ns", "duration", CELL_DURATION, 0 },
	{ "processes", "processes", CELL_COUNT, 0 },
	{ "allocations", "allocations", CELL_COUNT, 0 },
	{ "allocated_bytes", "bytes requested", CELL_BYTES, 0 },
	{ "temporary", "temporary", CELL_COUNT, 0 },
	{ "reallocations", "reallocations", CELL_COUNT, 0 },
	{ "peak_bytes", "peak", CELL_BYTES, 0 },
	{ "peak_held_bytes", "pages held", CELL_BYTES, 0 },
	{ "live_blocks", "live blocks", CELL_COUNT, 0 },
	{ "live_bytes", "live bytes", CELL_BYTES, 0 },
};
#define TOTALS (sizeof(total_columns) / sizeof(*total_columns))

struct total_row {
	const char *name;
	int64_t before, after, change;
};

#define TOTAL(member, type)                                                    \
	{                                                                      \
#member, type, offsetof(struct total_row, member), ROW_DERIVED \
	}

static const struct row_field total_fields[] = { TOTAL(name, ROW_TEXT), TOTAL(before, ROW_NUMBER),
						 TOTAL(after, ROW_NUMBER),
						 TOTAL(change, ROW_NUMBER), ROW_END };

/* False: one of the runs does not have it. */
static bool total_read(const struct column *column, const struct run *before,
		       const struct run *after, struct total_row *ret_total)
{
	const struct row_field *field = row_field_find(run_fields, column->name);
	int64_t one = *(const int64_t *)((const char *)before + field->offset);
	int64_t other = *(const int64_t *)((const char *)after + field->offset);

	if (one == UNKNOWN || other == UNKNOWN)
		return false;
	*ret_total = (struct total_row){ column->name, one, other, other - one };
	return true;
}

static void print_totals(const struct run *before, const struct run *after)
{
	/* Texts, set right by hand: the rows have different units. */
	char *cells[TOTALS][4] = { { NULL } };
	size_t widths[4] = { 6, 5, 6, 5 };

	for (size_t i = 0; i < TOTALS; i++) {
		enum cell_kind kind = total_columns[i].kind;
		struct total_row total;

		if (!total_read(&total_columns[i], before, after, &total))
			continue;
		cells[i][0] = memory_copy(plain_text(total.before, kind));
		cells[i][1] = memory_copy(plain_text(total.after, kind));
		cells[i][2] = signed_text(total.change, kind);
		cells[i][3] =
			total.before
				? memory_print("%.2f", (double)total.after / (double)total.before)
				: memory_copy("-");
		for (int at = 0; at < 4; at++)
			if (strlen(cells[i][at]) > widths[at])
				widths[at] = strlen(cells[i][at]);
	}
	printf("\n%s  %-16s  %*s  %*s  %*s  %*s%s\n", style_on(stdout, STYLE_DIM), "Totals",
	       (int)widths[0], "Before", (int)widths[1], "After", (int)widths[2], "Change",
	       (int)widths[3], "Ratio", style_on(stdout, STYLE_OFF));
	for (size_t i = 0; i < TOTALS; i++) {
		if (!cells[i][0])
			continue;
		printf("  %-16s  %*s  %*s  %*s  %*s\n", total_columns[i].title, (int)widths[0],
		       cells[i][0], (int)widths[1], cells[i][1], (int)widths[2], cells[i][2],
		       (int)widths[3], cells[i][3]);
		for (int at = 0; at < 4; at++)
			free(cells[i][at]);
	}
}

/* A call site as it is listed, by one metric. */
struct change_row {
	int64_t change, before, after;
	const char *site, *function, *module;
};

#define CHANGE(member, type)                                                    \
	{                                                                       \
#member, type, offsetof(struct change_row, member), ROW_DERIVED \
	}

static const struct row_field change_fields[] = { CHANGE(change, ROW_NUMBER),
						  CHANGE(before, ROW_NUMBER),
						  CHANGE(after, ROW_NUMBER),
						  CHANGE(site, ROW_TEXT),
						  CHANGE(function, ROW_TEXT_OR_NULL),
						  CHANGE(module, ROW_TEXT_OR_NULL),
						  ROW_END };

static void change_row_fill(struct change_row *ret_row, const struct change *change,
			    enum metric metric)
{
	*ret_row = (struct change_row){ .change = change_of(change, metric),
					.before = change->values[CHANGE_BEFORE][metric],
					.after = change->values[CHANGE_AFTER][metric],
					.site = change->site,
					.function = change->function,
					.module = change->module };
}

static void print_sites(const struct changes *changes, const struct measure *measure)
{
	enum cell_kind kind = !strcmp(measure->unit, "bytes") ? CELL_BYTES : CELL_COUNT;
	size_t shown = 0, moved = 0;
	int width = terminal_width(stdout);

	for (size_t i = 0; i < changes->count; i++)
		moved += change_of(&changes->all[i], measure->metric) != 0;
	if (!moved) {
		printf("\nNo call site changed in %s.\n", options.by);
		return;
	}
	printf("\n%s  %12s  %12s  %12s  Call site%s\n", style_on(stdout, STYLE_DIM), "Change",
	       "Before", "After", style_on(stdout, STYLE_OFF));
	for (size_t i = 0; i < changes->count && (!options.top || (int64_t)shown < options.top);
	     i++) {
		struct change_row row;
		char *text, *site;

		change_row_fill(&row, &changes->all[i], measure->metric);
		if (!row.change)
			break;
		text = signed_text(row.change, kind);
		site = text_fit(row.site,
				width > 60 ? (size_t)width - 44
				: width	   ? 16
					   : 0,
				FIT_NAME);
		printf("  %12s  %12s  %12s  %s\n", text, plain_text(row.before, kind),
		       plain_text(row.after, kind), site);
		free(text);
		free(site);
		shown++;
	}
	if (shown < moved)
		printf("  ... and %s (--top 0 shows all)\n",
		       format_plural((int64_t)(moved - shown), "more that changed",
				     "more that changed"));
}

#define COLUMN(name)                  \
	{                             \
		name, "", CELL_ANY, 0 \
	}

static void json_side(struct json *json, const char *key, const int64_t *values)
{
	static const struct column columns[] = {
		COLUMN("allocations"), COLUMN("allocated_bytes"), COLUMN("frees"),
		COLUMN("freed_bytes"), COLUMN("temporary"),	  COLUMN("peak_blocks"),
		COLUMN("peak_bytes"),  COLUMN("live_blocks"),	  COLUMN("live_bytes"),
	};
	struct site_row row = { 0 };

	memcpy(row.values, values, sizeof(row.values));
	json_object(json, key);
	columns_json(columns, METRIC_COUNT, site_fields, &row, json);
	json_end(json);
}

static void json_totals(struct json *json, const struct run *before, const struct run *after)
{
	static const struct column columns[] = { COLUMN("name"), COLUMN("before"), COLUMN("after"),
						 COLUMN("change") };

	json_array(json, "totals");
	for (size_t i = 0; i < TOTALS; i++) {
		struct total_row total;

		if (!total_read(&total_columns[i], before, after, &total))
			continue;
		json_object(json, NULL);
		json_one_line(json);
		columns_json(columns, sizeof(columns) / sizeof(*columns), total_fields, &total,
			     json);
		json_end(json);
	}
	json_end(json);
}

static void print_json(const struct run *before, const struct run *after,
		       const struct changes *changes, enum metric metric)
{
	static const struct column columns[] = { COLUMN("site"), COLUMN("function"),
						 COLUMN("module"), COLUMN("change") };
	struct json json;

	json_init(&json, stdout);
	json_object(&json, NULL);
	json_number(&json, "before_run_id", before->run_id);
	json_number(&json, "after_run_id", after->run_id);
	json_totals(&json, before, after);
	json_text(&json, "sorted_by", options.by);
	json_array(&json, "sites");
	for (size_t i = 0; i < changes->count; i++) {
		struct change_row row;

		change_row_fill(&row, &changes->all[i], metric);
		json_object(&json, NULL);
		json_one_line(&json);
		columns_json(columns, sizeof(columns) / sizeof(*columns), change_fields, &row,
			     &json);
		json_side(&json, "before", changes->all[i].values[CHANGE_BEFORE]);
		json_side(&json, "after", changes->all[i].values[CHANGE_AFTER]);
		json_end(&json);
	}
	json_end(&json);
	json_end(&json);
}

static void print_csv(const struct changes *changes, enum metric metric)
{
	static const struct column columns[] = { COLUMN("change"), COLUMN("before"),
						 COLUMN("after"), COLUMN("site") };
	struct table *table =
		table_new_of(columns, sizeof(columns) / sizeof(*columns), change_fields);

	for (size_t i = 0; i < changes->count; i++) {
		struct change_row row;

		change_row_fill(&row, &changes->all[i], metric);
		table_row(table, &row);
	}
	table_csv(table, stdout);
	table_free(table);
}

static void print_head(const char *word, const struct run *run)
{
	int width = terminal_width(stdout);
	char *text = memory_print("%-7s run %s%s%s%s · %s", word, format_plain(run->run_id),
				  *run->label ? " '" : "", run->label, *run->label ? "'" : "",
				  run->command);
	char *fitted = text_fit(text, width > 0 ? (size_t)width : 0, FIT_START);

	puts(fitted);
	free(text);
	free(fitted);
}

static void show(const struct run *before, const struct run *after, const struct changes *changes,
		 const struct measure *measure)
{
	if (shared.json) {
		print_json(before, after, changes, measure->metric);
	} else if (shared.csv) {
		print_csv(changes, measure->metric);
	} else {
		print_head("Before:", before);
		print_head("After:", after);
		print_totals(before, after);
		print_sites(changes, measure);
	}
}

/* Both of one database, as it is at one moment. */
static int load(struct recording sides[2], char **names, int count, struct error *error)
{
	static const char *const usual[] = { "last~1", "last" };
	int result = recording_open(&sides[0], error);

	for (int side = 0; side < 2 && !result; side++) {
		int64_t run_id = 0;

		result = run_select(&sides[0].db, count > side ? names[side] : usual[side], &run_id,
				    error);
		if (!result)
			result = run_load(&sides[0].db, run_id, &sides[side].run, error);
	}
	for (int side = 0; side < 2 && !result; side++) {
		result = recording_load_profile_of(&sides[side], &sides[0].db, 0, error);
		recording_filter(&sides[side]);
	}
	return result;
}

static int diff_main(int argc, char **argv)
{
	struct recording sides[2] = { { .db = { NULL, NULL } } };
	int measure = measure_find(options.by), result;
	struct error error;

	if (argc > 2)
		return usage_error("diff", "unexpected argument '%s'", argv[2]);
	if (measure < 0)
		return usage_error("diff", "--by is " MEASURE_NAMES ", not '%s'", options.by);
	if (options.top < 0)
		return usage_error("diff", "--top cannot be negative");
	result = load(sides, argv, argc, &error);
	if (!result) {
		struct changes changes;

		changes_init(&changes);
		changes_add(&changes, &sides[0].profile, CHANGE_BEFORE);
		changes_add(&changes, &sides[1].profile, CHANGE_AFTER);
		changes_sort(&changes, measures[measure].metric);
		show(&sides[0].run, &sides[1].run, &changes, &measures[measure]);
		changes_release(&changes);
	}
	recording_close(&sides[1]);
	recording_close(&sides[0]);
	return result ? cli_failed(&error) : STATUS_DONE;
}

const struct command command_diff = {
	.name = "diff",
	.arguments = "[BEFORE [AFTER]]",
	.summary = "what changed from one run to another",
	.details = "BEFORE and AFTER are runs; the last two when none is named. Call sites are "
		   "matched by\n"
		   "module and function, so two builds of a program can be compared.",
	.options = rows,
	.main = diff_main,
};
