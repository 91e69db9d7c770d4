/* heaptape report: what happened in a run. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/command/commands.h"
#include "viewer/model/db.h"
#include "viewer/print/format.h"
#include "viewer/model/gaps.h"
#include "viewer/model/misuses.h"
#include "viewer/print/output.h"
#include "viewer/print/report_tables.h"
#include "viewer/print/summary.h"

static struct {
	bool stacks;
	int64_t top;
	const char *output;
} options = { .top = 5 };

static const struct option_row rows[] = {
	OPTION_DB,
	{ "top", 'n', "N", "rows of each list (default: 5)", OPTION_NUMBER, &options.top },
	{ "stacks", 's', NULL, "show the whole stack of each call site", OPTION_FLAG,
	  &options.stacks },
	{ "output", 'o', "FILE", "write FILE (default: standard output)", OPTION_TEXT,
	  &options.output },
	OPTION_WRAPPERS,
	OPTION_JSON,
	{ "csv", 0, NULL, "print the call sites as CSV, all of them", OPTION_FLAG, &shared.csv },
	OPTIONS_END
};

static void heading(const char *text)
{
	printf("\n%s%s%s\n", style_on(stdout, STYLE_BOLD), text, style_on(stdout, STYLE_OFF));
}

static void print_section(const char *title, struct table *table)
{
	if (table && table_rows(table)) {
		heading(title);
		table_print(table, stdout, 2);
	}
	table_free(table);
}

static void item(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void item(const char *label, const char *format, ...)
{
	va_list list;

	printf("  %s%-12s%s", style_on(stdout, STYLE_DIM), label, style_on(stdout, STYLE_OFF));
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	putchar('\n');
}

static void print_head(const struct run *run)
{
	int width = terminal_width(stdout);
	char *command = text_fit(run->command, width > 16 ? (size_t)width - 16 : 0, FIT_START);
	char *label = text_fit(run->label, width > 16 ? (size_t)width - 16 : 0, FIT_START);

	printf("%sRun %s%s%s%s%s\n", style_on(stdout, STYLE_BOLD), format_plain(run->run_id),
	       *label ? " '" : "", label, *label ? "'" : "", style_on(stdout, STYLE_OFF));
	free(label);
	item("command", "%s", command);
	free(command);
	if (run_duration(run) == UNKNOWN)
		item("started", "%s, %s", format_when(run->started_at), run_ending(run));
	else
		item("started", "%s, %s after %s", format_when(run->started_at), run_ending(run),
		     format_duration(run_duration(run)));
}

static void print_totals(const struct run *run)
{
	heading(strcmp(run->state, "running") == 0 ? "Totals so far" : "Totals");
	item("allocations", "%s, %s requested, %s on average", format_count(run->allocations),
	     format_bytes(run->allocated_bytes),
	     format_bytes(run->allocations ? run->allocated_bytes / run->allocations : 0));
	item("frees", "%s, %s", format_count(run->frees), format_bytes(run->freed_bytes));
	if (run->reallocations)
		item("reallocs", "%s of an earlier block (counted on both sides)",
		     format_count(run->reallocations));
	if (run->temporary)
		item("temporary", "%s (%s): freed before the thread allocated again",
		     format_count(run->temporary),
		     format_percent((double)run->temporary, (double)run->allocations));
	if (run->failed)
		item("failed", "%s answered with NULL",
		     format_plural(run->failed, "request", "requests"));
	if (run->peak_ns != UNKNOWN)
		item("peak", "%s in %s, %s into the run%s%s", format_bytes(run->peak_bytes),
		     format_plural(run->peak_blocks, "block", "blocks"),
		     format_duration(run->peak_ns), run->processes > 1 ? ", process " : "",
		     run->processes > 1 ? format_plain(run->peak_pid) : "");
	item("still live", "%s in %s", format_bytes(run->live_bytes),
	     format_plural(run->live_blocks, "block", "blocks"));
	item("pages held", "%s at most, %s above the peak", format_bytes(run->peak_held_bytes),
	     format_percent((double)(run->peak_held_bytes - run->peak_bytes),
			    (double)run->peak_bytes));
	if (run->max_rss_bytes != UNKNOWN || run->peak_rss_bytes)
		item("resident", "%s at most",
		     format_bytes(run->max_rss_bytes > run->peak_rss_bytes ? run->max_rss_bytes
									   : run->peak_rss_bytes));
	if (run->user_ns != UNKNOWN && run->system_ns != UNKNOWN)
		item("processor", "%s in the program, %s in the system",
		     format_duration(run->user_ns), format_duration(run->system_ns));
}

static const char *completeness(const struct run *run)
{
	if (!strcmp(run->state, "running"))
		return "the run goes on; this is what has arrived so far";
	if (!strcmp(run->state, "cut"))
		return "the recording was cut: it stopped before the program did";
	if (run->unrecorded && !run->lost_events)
		return "incomplete: some programs are not recorded";
	if (run->lost_events || !strcmp(run->state, "incomplete"))
		return "incomplete: some events are missing";
	if (run->gaps)
		return "complete, but for the times without recording";
	return "complete: every event is here";
}

/* Reasons in stack_cuts, as a sentence goes on after their number. */
static const struct {
	const char *reason, *text;
} cut_texts[] = {
	{ "depth", "are deeper than what was recorded of a stack" },
	{ "no row", "came to code without unwind data (JIT, assembly)" },
	{ "bounds", "came to a frame outside the thread's stack" },
	{ "rule", "came to unwind data of an unknown kind" },
	{ "table", "found no room for another stack" },
};

static void print_cuts(sqlite3 *db, const struct run *run)
{
	sqlite3_stmt *cut = db_query(db,
				     "SELECT reason, sum(stacks) FROM stack_cuts WHERE process_id "
				     "IN (SELECT process_id FROM processes WHERE run_id = ?) "
				     "GROUP BY reason ORDER BY 2 DESC",
				     "i", run->run_id);
	int64_t stacks = run->events;

	if (!strstr(run->settings, "HEAPTAPE_FREE_STACKS=1"))
		stacks -= run->frees - run->reallocations;
	item("cut stacks", "%s (%s of all) do not reach the outermost frame",
	     format_count(run->cut_stacks),
	     format_percent((double)run->cut_stacks,
			    (double)(stacks > run->cut_stacks ? stacks : run->cut_stacks)));
	while (db_next(cut)) {
		const char *text = column_string(cut, 0);

		for (size_t i = 0; i < sizeof(cut_texts) / sizeof(*cut_texts); i++)
			if (!strcmp(cut_texts[i].reason, text))
				text = cut_texts[i].text;
		item("", "%s %s", format_count(column_number(cut, 1, 0)), text);
	}
}

/* Stacks that lead through code without unwind data, but do not end there. */
static void print_by_frame_pointer(sqlite3 *db, const struct run *run)
{
	sqlite3_stmt *found = db_query(
		db,
		"WITH RECURSIVE beyond(stack_id) AS (SELECT stack_id FROM stacks WHERE "
		"by_frame_pointer UNION SELECT s.stack_id FROM beyond b JOIN stacks s ON "
		"s.parent_stack_id = b.stack_id) SELECT total(allocations) FROM stack_totals "
		"WHERE stack_id IN beyond AND process_id IN (SELECT process_id FROM processes "
		"WHERE run_id = ?)",
		"i", run->run_id);
	int64_t allocations = db_next(found) ? column_number(found, 0, 0) : 0;

	if (allocations)
		item("followed", "%s through code without unwind data, by frame pointers",
		     format_plural(allocations, "allocation", "allocations"));
	while (db_next(found))
		;
}

static void print_completeness(sqlite3 *db, const struct run *run)
{
	sqlite3_stmt *note;

	heading("The record");
	item("state", "%s", completeness(run));
	item("events", "%s, %s", format_count(run->events), lost_text(run));
	if (run->cut_stacks)
		print_cuts(db, run);
	print_by_frame_pointer(db, run);
	if (run->foreign_symbols)
		item("allocator", "%s", run_foreign(run));
	if (run->foreign_frees)
		item("foreign", "%s of blocks of another allocator",
		     format_plural(run->foreign_frees, "free", "frees"));
	if (run->inherited_frees)
		item("inherited", "%s by forked processes, of copies of their parent's blocks",
		     format_plural(run->inherited_frees, "free", "frees"));
	if (run->preexisting_frees > run->inherited_frees)
		item("earlier", "%s of blocks from before the recording",
		     format_plural(run->preexisting_frees - run->inherited_frees, "free", "frees"));
	if (run->late_events)
		item("late", "%s came after their turn: the peak may be off by their size",
		     format_plural(run->late_events, "event", "events"));
	if (run->wait_ns)
		item("waited", "%s for the daemon", format_duration(run->wait_ns));
	if (run->events)
		item("stored", "%s, %.2f bytes per event", format_bytes(run->chunk_bytes),
		     (double)run->chunk_bytes / (double)run->events);
	note = db_query(db, "SELECT text FROM notes WHERE run_id = ? ORDER BY rowid LIMIT 20", "i",
			run->run_id);
	while (db_next(note)) {
		char *text = text_fit(column_string(note, 0), 0, FIT_START);

		item("note", "%s", text);
		free(text);
	}
}

static void print_next(const struct run *run)
{
	const char *option = database_option(shared.db ? shared.db : NULL);

	heading("Next");
	printf("  heaptape report --stacks%s %s\n", option, format_plain(run->run_id));
	printf("  heaptape peak%s %s\n", option, format_plain(run->run_id));
	printf("  heaptape flame%s %s\n", option, format_plain(run->run_id));
	printf("  heaptape sql%s \"SELECT live_bytes, stack_text(stack_id, 3) FROM leaks WHERE "
	       "run_id = %s\"\n",
	       option, format_plain(run->run_id));
}

#define PROCESSES_SHOWN 10

static void print_processes(sqlite3 *db, const struct run *run)
{
	print_section(run->processes > PROCESSES_SHOWN ? "Processes with the most allocations"
						       : "Processes",
		      processes_table(db, run, PROCESSES_SHOWN));
	if (run->processes > PROCESSES_SHOWN)
		printf("  ... and %s more; the table 'processes' has them all\n",
		       format_count(run->processes - PROCESSES_SHOWN));
}

static void print_unrecorded(sqlite3 *db, const struct run *run)
{
	print_section("Not recorded", unrecorded_table(db, run, PROCESSES_SHOWN));
	if (run->unrecorded > PROCESSES_SHOWN)
		printf("  ... and %s more; the table 'processes' has them all\n",
		       format_count(run->unrecorded - PROCESSES_SHOWN));
}

#define NAMELESS_PERCENT 20

/* Stripped programs: why there are only places, and what to do about it. */
static void print_nameless(const struct run *run, const struct profile *profile,
			   const struct site *sites, size_t count)
{
	int64_t *modules = must_alloc((profile->module_count + 1) * sizeof(*modules));
	int64_t nameless = 0, all = 0;
	size_t most = 0;

	for (size_t i = 0; i < count; i++) {
		const struct frame *frame = &profile->frames[sites[i].frame];
		int64_t allocations = sites[i].values[METRIC_ALLOCATIONS];

		all += allocations;
		if (frame->function || !frame->module || frame->module >= profile->module_count)
			continue;
		nameless += allocations;
		modules[frame->module] += allocations;
		if (modules[frame->module] > modules[most])
			most = frame->module;
	}
	if (most && nameless * 100 >= all * NAMELESS_PERCENT && !profile->pending) {
		printf("\n%s of the allocations come from call sites without a name, most of\n"
		       "them in %s. With debug information for it installed:\n",
		       format_percent((double)nameless, (double)all), profile->modules[most].name);
		printf("  heaptaped --symbols %s %s --again\n", shell_word(cli_database()),
		       format_plain(run->run_id));
	}
	free(modules);
}

#define GAPS_SHOWN 20

static void print_gaps(sqlite3 *db, const struct run *run)
{
	if (!run->gaps)
		return;
	print_section("Times without recording", gaps_table(db, run, GAPS_SHOWN));
	if (run->gaps > GAPS_SHOWN)
		printf("  ... and %s more; the table 'gaps' has them all\n",
		       format_count(run->gaps - GAPS_SHOWN));
	fputs(gaps_legend, stdout);
}

static void report_text(sqlite3 *db, const struct run *run)
{
	struct profile profile;
	struct site *sites;
	size_t count;

	print_head(run);
	if (!run->processes) {
		printf("\nNothing was recorded in this run.\n");
		print_unrecorded(db, run);
		return;
	}
	if (gaps_nothing(run)) {
		printf("\nRecorded: %s.\n", gaps_nothing(run));
		return;
	}
	print_totals(run);
	if (run->processes > 1)
		print_processes(db, run);
	print_unrecorded(db, run);
	profile_load(db, run, 0, &profile);
	misuses_print(stdout, db, run, &profile, options.top);
	count = sites_group(&profile, &sites);
	if (profile.total_count == 1 && !profile.totals[0].stack)
		printf("\nCall stacks were not recorded, so there are no call sites to name.\n");
	for (size_t i = 0; i < site_list_count; i++)
		print_section(site_lists[i].title,
			      profile.total_count == 1 && !profile.totals[0].stack
				      ? NULL
				      : site_list_table(&site_lists[i], &profile, sites, count,
							options.top, options.stacks));
	print_nameless(run, &profile, sites, count);
	if (profile.pending)
		printf("\nFunction names are still being looked up; ask again in a moment.\n");
	sites_free(sites, count);
	profile_release(&profile);
	print_section("Sizes", size_bands_table(db, run));
	if (db_number(db,
		      "SELECT count(*) FROM threads JOIN processes USING(process_id) WHERE run_id "
		      "= ?",
		      "i", run->run_id) > run->processes)
		print_section("Threads, the busiest first", threads_table(db, run, options.top));
	print_completeness(db, run);
	print_gaps(db, run);
	print_next(run);
}

static void json_maybe(struct json *json, const char *key, int64_t number)
{
	if (number == UNKNOWN)
		json_null(json, key);
	else
		json_number(json, key, number);
}

static void json_run(struct json *json, const struct run *run)
{
	const struct {
		const char *key;
		int64_t value;
	} numbers[] = {
		{ "started_at", run->started_at },
		{ "ended_at", run->ended_at },
		{ "duration_ns", run_duration(run) },
		{ "exit_code", run->exit_code },
		{ "exit_signal", run->exit_signal },
		{ "user_ns", run->user_ns },
		{ "system_ns", run->system_ns },
		{ "max_rss_bytes", run->max_rss_bytes },
		{ "processes", run->processes },
		{ "unrecorded_processes", run->unrecorded },
		{ "events", run->events },
		{ "lost_events", run->lost_events },
		{ "late_events", run->late_events },
		{ "foreign_frees", run->foreign_frees },
		{ "foreign_symbols", run->foreign_symbols },
		{ "cut_stacks", run->cut_stacks },
		{ "wait_ns", run->wait_ns },
		{ "stored_bytes", run->chunk_bytes },
		{ "allocations", run->allocations },
		{ "allocated_bytes", run->allocated_bytes },
		{ "frees", run->frees },
		{ "freed_bytes", run->freed_bytes },
		{ "reallocations", run->reallocations },
		{ "failed", run->failed },
		{ "temporary", run->temporary },
		{ "preexisting_frees", run->preexisting_frees },
		{ "inherited_frees", run->inherited_frees },
		{ "live_blocks", run->live_blocks },
		{ "live_bytes", run->live_bytes },
		{ "peak_process_id", run->peak_process_id },
		{ "peak_blocks", run->peak_blocks },
		{ "peak_bytes", run->peak_bytes },
		{ "peak_ns", run->peak_ns },
		{ "peak_held_bytes", run->peak_held_bytes },
		{ "peak_rss_bytes", run->peak_rss_bytes },
	};

	json_object(json, "run");
	json_number(json, "run_id", run->run_id);
	json_text(json, "label", run->label);
	json_text(json, "command", run->command);
	json_text(json, "cwd", run->cwd);
	json_text(json, "host", run->host);
	json_text(json, "state", run->state);
	json_text(json, "version", run->version);
	json_text(json, "settings", run->settings);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		json_maybe(json, numbers[i].key, numbers[i].value);
	json_end(json);
}

static void json_section(struct json *json, const char *key, struct table *table)
{
	table_json(table, json, key);
	table_free(table);
}

static void report_data(sqlite3 *db, const struct run *run)
{
	struct profile profile;
	struct site *sites;
	struct json json;
	sqlite3_stmt *note;
	size_t count;

	profile_load(db, run, 0, &profile);
	count = sites_group(&profile, &sites);
	sites_sort(sites, count, METRIC_ALLOCATED_BYTES);
	if (shared.csv) {
		struct table *table = sites_table(&profile, sites, count);

		table_csv(table, stdout);
		table_free(table);
	} else {
		json_init(&json, stdout);
		json_object(&json, NULL);
		json_run(&json, run);
		json_section(&json, "processes", processes_table(db, run, 0));
		json_section(&json, "threads", threads_table(db, run, 0));
		json_section(&json, "sizes", sizes_table(db, run));
		json_section(&json, "stack_cuts", stack_cuts_table(db, run));
		json_section(&json, "gaps", gaps_table(db, run, 0));
		json_section(&json, "sites", sites_table(&profile, sites, count));
		misuses_json(&json, db, run, &profile);
		json_array(&json, "notes");
		note = db_query(db, "SELECT text FROM notes WHERE run_id = ? ORDER BY rowid", "i",
				run->run_id);
		while (db_next(note))
			json_text(&json, NULL, column_string(note, 0));
		json_end(&json);
		json_end(&json);
	}
	sites_free(sites, count);
	profile_release(&profile);
}

static int report_main(int argc, char **argv)
{
	struct run run;
	sqlite3 *db;

	if (argc > 1)
		return usage_error("report", "'%s' is one argument too many", argv[1]);
	if (options.top < 1)
		return usage_error("report", "--top is a number from 1 up");
	db = db_open();
	db_snapshot(db);
	run_load(db, run_select(db, argc ? argv[0] : NULL), &run);
	output_redirect(options.output);
	if (shared.json || shared.csv)
		report_data(db, &run);
	else
		report_text(db, &run);
	run_release(&run);
	db_close(db);
	return STATUS_DONE;
}

const struct command command_report = {
	.name = "report",
	.arguments = "[RUN]",
	.summary = "what happened: totals, peak, leaks, top call sites",
	.details = "RUN is a number, a label, 'last' (the default) or 'last~1'. A run that goes on "
		   "is\n"
		   "reported as far as it has come. Call sites name the program's own code, not "
		   "malloc,\n"
		   "operator new or a container's allocator; --stacks shows the whole way.",
	.options = rows,
	.main = report_main,
};
