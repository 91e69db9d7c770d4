/* heaptape diff: what changed from one run to another. */
#include <stdlib.h>
#include <string.h>

#include "viewer/command/commands.h"
#include "viewer/model/db.h"
#include "viewer/model/filter.h"
#include "viewer/print/format.h"
#include "viewer/intern.h"
#include "viewer/model/metric.h"
#include "viewer/model/profile.h"
#include "viewer/model/run.h"
#include "viewer/print/table.h"

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

/* A call site by what is the same for its module and function in every build of a program. */
struct change {
	char *site, *key;
	const char *function, *module; /* NULL: not known */
	int64_t values[2][METRIC_COUNT];
};

static struct {
	struct change *all;
	size_t count, room;
	struct intern *names;
} changes;

static char *site_text(const struct profile *profile, uint32_t id)
{
	const struct frame *frame = &profile->frames[id];
	const char *module = frame->module ? profile->modules[frame->module].name : "";

	return must_print("%s%s%s", frame_name(profile, id), frame->function && *module ? "  " : "",
			  frame->function ? module : "");
}

static void changes_add(const struct profile *profile, int side)
{
	for (size_t i = 0; i < profile->total_count; i++) {
		const struct total *total = &profile->totals[i];
		const struct frame *frame = &profile->frames[profile_site(profile, total->stack)];
		uint32_t site = profile_site(profile, total->stack);
		char *key = frame_key(profile, site);
		size_t at = intern_put(changes.names, key);

		if (at == changes.count) {
			if (changes.count == changes.room) {
				changes.room = changes.room ? 2 * changes.room : 64;
				changes.all =
					must_grow(changes.all, changes.room * sizeof(*changes.all));
			}
			changes.all[changes.count++] = (struct change){
				.site = site_text(profile, site),
				.key = key,
				.function = frame->function,
				.module =
					frame->module ? profile->modules[frame->module].name : NULL,
			};
		} else {
			free(key);
		}
		for (int metric = 0; metric < METRIC_COUNT; metric++)
			changes.all[at].values[side][metric] += total->values[metric];
	}
}

static unsigned sort_metric;

static int64_t change_of(const struct change *change)
{
	return change->values[1][sort_metric] - change->values[0][sort_metric];
}

static int compare_changes(const void *a, const void *b)
{
	int64_t one = llabs(change_of(a)), other = llabs(change_of(b));

	if (one != other)
		return one < other ? 1 : -1;
	return strcmp(((const struct change *)a)->site, ((const struct change *)b)->site);
}

/* "+12.3 MiB" */
static char *signed_text(int64_t value, enum cell_kind kind)
{
	const char *text = kind == CELL_BYTES	   ? format_bytes(value)
			   : kind == CELL_DURATION ? format_duration(value)
						   : format_count(value);

	return must_print("%s%s", value > 0 ? "+" : "", value ? text : "=");
}

static const char *plain_text(int64_t value, enum cell_kind kind)
{
	return kind == CELL_BYTES      ? format_bytes(value)
	       : kind == CELL_DURATION ? format_duration(value)
				       : format_count(value);
}

static struct {
	const char *name, *title;
	enum cell_kind kind;
	int64_t before, after;
} totals[12];
static size_t total_count;

static void total_add(const char *name, const char *title, enum cell_kind kind, int64_t before,
		      int64_t after)
{
	if (before == UNKNOWN || after == UNKNOWN)
		return;
	totals[total_count].name = name;
	totals[total_count].title = title;
	totals[total_count].kind = kind;
	totals[total_count].before = before;
	totals[total_count++].after = after;
}

static void totals_fill(const struct run *a, const struct run *b)
{
	total_add("duration_ns", "duration", CELL_DURATION, run_duration(a), run_duration(b));
	total_add("processes", "processes", CELL_COUNT, a->processes, b->processes);
	total_add("allocations", "allocations", CELL_COUNT, a->allocations, b->allocations);
	total_add("allocated_bytes", "bytes requested", CELL_BYTES, a->allocated_bytes,
		  b->allocated_bytes);
	total_add("temporary", "temporary", CELL_COUNT, a->temporary, b->temporary);
	total_add("reallocations", "reallocations", CELL_COUNT, a->reallocations, b->reallocations);
	total_add("peak_bytes", "peak", CELL_BYTES, a->peak_bytes, b->peak_bytes);
	total_add("peak_held_bytes", "pages held", CELL_BYTES, a->peak_held_bytes,
		  b->peak_held_bytes);
	total_add("live_blocks", "live blocks", CELL_COUNT, a->live_blocks, b->live_blocks);
	total_add("live_bytes", "live bytes", CELL_BYTES, a->live_bytes, b->live_bytes);
}

static void print_totals(void)
{
	/* Texts, set right by hand: the rows have different units. */
	char *cells[12][4] = { { NULL } };
	const size_t count = total_count;
	size_t widths[4] = { 6, 5, 6, 5 };

	for (size_t i = 0; i < count; i++) {
		cells[i][0] = must_copy(plain_text(totals[i].before, totals[i].kind));
		cells[i][1] = must_copy(plain_text(totals[i].after, totals[i].kind));
		cells[i][2] = signed_text(totals[i].after - totals[i].before, totals[i].kind);
		cells[i][3] = totals[i].before
				      ? must_print("%.2f", (double)totals[i].after /
								   (double)totals[i].before)
				      : must_copy("-");
		for (int at = 0; at < 4; at++)
			if (strlen(cells[i][at]) > widths[at])
				widths[at] = strlen(cells[i][at]);
	}
	printf("\n%s  %-16s  %*s  %*s  %*s  %*s%s\n", style_on(stdout, STYLE_DIM), "Totals",
	       (int)widths[0], "Before", (int)widths[1], "After", (int)widths[2], "Change",
	       (int)widths[3], "Ratio", style_on(stdout, STYLE_OFF));
	for (size_t i = 0; i < count; i++) {
		printf("  %-16s  %*s  %*s  %*s  %*s\n", totals[i].title, (int)widths[0],
		       cells[i][0], (int)widths[1], cells[i][1], (int)widths[2], cells[i][2],
		       (int)widths[3], cells[i][3]);
		for (int at = 0; at < 4; at++)
			free(cells[i][at]);
	}
}

static const struct column site_columns[] = {
	{ "change", "Change", CELL_ANY, 0 },
	{ "before", "Before", CELL_ANY, 0 },
	{ "after", "After", CELL_ANY, 0 },
	{ "site", "Call site", CELL_TEXT, COLUMN_FLEX | COLUMN_NAME },
};

static void print_sites(enum cell_kind kind)
{
	size_t shown = 0, moved = 0;

	for (size_t i = 0; i < changes.count; i++)
		moved += change_of(&changes.all[i]) != 0;
	if (!moved) {
		printf("\nNo call site changed in %s.\n", options.by);
		return;
	}
	printf("\n%s  %12s  %12s  %12s  Call site%s\n", style_on(stdout, STYLE_DIM), "Change",
	       "Before", "After", style_on(stdout, STYLE_OFF));
	for (size_t i = 0; i < changes.count && (!options.top || (int64_t)shown < options.top);
	     i++) {
		const struct change *change = &changes.all[i];
		int width = terminal_width(stdout);
		char *text, *site;

		if (!change_of(change))
			break;
		text = signed_text(change_of(change), kind);
		site = text_fit(change->site,
				width > 60 ? (size_t)width - 44
				: width	   ? 16
					   : 0,
				FIT_NAME);
		printf("  %12s  %12s  %12s  %s\n", text,
		       plain_text(change->values[0][sort_metric], kind),
		       plain_text(change->values[1][sort_metric], kind), site);
		free(text);
		free(site);
		shown++;
	}
	if (shown < moved)
		printf("  ... and %s (--top 0 shows all)\n",
		       format_plural((int64_t)(moved - shown), "more that changed",
				     "more that changed"));
}

static void json_side(struct json *json, const char *key, const struct change *change, int side)
{
	static const char *const names[METRIC_COUNT] = {
		"allocations", "allocated_bytes", "frees",	 "freed_bytes", "temporary",
		"peak_blocks", "peak_bytes",	  "live_blocks", "live_bytes"
	};

	json_object(json, key);
	for (int metric = 0; metric < METRIC_COUNT; metric++)
		json_number(json, names[metric], change->values[side][metric]);
	json_end(json);
}

static void print_json(const struct run *a, const struct run *b)
{
	struct json json;

	json_init(&json, stdout);
	json_object(&json, NULL);
	json_number(&json, "before_run_id", a->run_id);
	json_number(&json, "after_run_id", b->run_id);
	json_array(&json, "totals");
	for (size_t i = 0; i < total_count; i++) {
		json_object(&json, NULL);
		json_one_line(&json);
		json_text(&json, "name", totals[i].name);
		json_number(&json, "before", totals[i].before);
		json_number(&json, "after", totals[i].after);
		json_number(&json, "change", totals[i].after - totals[i].before);
		json_end(&json);
	}
	json_end(&json);
	json_text(&json, "sorted_by", options.by);
	json_array(&json, "sites");
	for (size_t i = 0; i < changes.count; i++) {
		json_object(&json, NULL);
		json_one_line(&json);
		json_text(&json, "site", changes.all[i].site);
		json_text(&json, "function", changes.all[i].function);
		json_text(&json, "module", changes.all[i].module);
		json_number(&json, "change", change_of(&changes.all[i]));
		json_side(&json, "before", &changes.all[i], 0);
		json_side(&json, "after", &changes.all[i], 1);
		json_end(&json);
	}
	json_end(&json);
	json_end(&json);
}

static void print_csv(void)
{
	struct table *table = table_new(site_columns, sizeof(site_columns) / sizeof(*site_columns));

	for (size_t i = 0; i < changes.count; i++) {
		table_number(table, change_of(&changes.all[i]));
		table_number(table, changes.all[i].values[0][sort_metric]);
		table_number(table, changes.all[i].values[1][sort_metric]);
		table_text(table, changes.all[i].site);
	}
	table_csv(table, stdout);
	table_free(table);
}

static void print_head(const char *word, const struct run *run)
{
	int width = terminal_width(stdout);
	char *text = must_print("%-7s run %s%s%s%s · %s", word, format_plain(run->run_id),
				*run->label ? " '" : "", run->label, *run->label ? "'" : "",
				run->command);
	char *fitted = text_fit(text, width > 0 ? (size_t)width : 0, FIT_START);

	puts(fitted);
	free(text);
	free(fitted);
}

static int diff_main(int argc, char **argv)
{
	struct profile profiles[2];
	struct run runs[2];
	int measure = measure_find(options.by);
	enum cell_kind kind;
	sqlite3 *db;

	if (argc > 2)
		return usage_error("diff", "'%s' is one argument too many", argv[2]);
	if (measure < 0)
		return usage_error("diff", "--by is " MEASURE_NAMES ", not '%s'", options.by);
	if (options.top < 0)
		return usage_error("diff", "--top is not negative");
	db = db_open();
	db_snapshot(db);
	run_load(db, run_select(db, argc ? argv[0] : "last~1"), &runs[0]);
	run_load(db, run_select(db, argc > 1 ? argv[1] : "last"), &runs[1]);
	changes.names = intern_new();
	for (int side = 0; side < 2; side++) {
		profile_load(db, &runs[side], 0, &profiles[side]);
		filter_apply(&profiles[side]);
		changes_add(&profiles[side], side);
	}
	sort_metric = measures[measure].metric;
	kind = strcmp(measures[measure].unit, "bytes") == 0 ? CELL_BYTES : CELL_COUNT;
	if (changes.count)
		qsort(changes.all, changes.count, sizeof(*changes.all), compare_changes);
	totals_fill(&runs[0], &runs[1]);
	if (shared.json) {
		print_json(&runs[0], &runs[1]);
	} else if (shared.csv) {
		print_csv();
	} else {
		print_head("Before:", &runs[0]);
		print_head("After:", &runs[1]);
		print_totals();
		print_sites(kind);
	}
	for (size_t i = 0; i < changes.count; i++) {
		free(changes.all[i].site);
		free(changes.all[i].key);
	}
	free(changes.all);
	intern_free(changes.names);
	for (int side = 0; side < 2; side++) {
		profile_release(&profiles[side]);
		run_release(&runs[side]);
	}
	db_close(db);
	return STATUS_DONE;
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
