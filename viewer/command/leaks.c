/* heaptape leaks: what was never freed, by where it was allocated. */
#include <stdlib.h>
#include <string.h>

#include "viewer/command/commands.h"
#include "viewer/command/recording.h"
#include "viewer/memory.h"
#include "viewer/model/frame.h"
#include "viewer/model/live.h"
#include "viewer/model/moment.h"
#include "viewer/model/suppress.h"
#include "viewer/model/thread.h"
#include "viewer/print/format.h"
#include "viewer/print/report_tables.h"
#include "viewer/print/shell.h"
#include "viewer/print/stack.h"

static struct {
	int64_t top, pid;
	bool stacks, all;
	const char *suppressions;
	const char *since, *at, *thread;
} options = { .top = 20 };

static const struct option_row rows[] = {
	OPTION_DB,
	{ "top", 'n', "N", "rows (default: 20; 0: all)", OPTION_NUMBER, &options.top },
	{ "stacks", 's', NULL, "show the call stack of each call site", OPTION_FLAG,
	  &options.stacks },
	{ "since", 0, "MOMENT", "only blocks allocated after that moment", OPTION_TEXT,
	  &options.since },
	{ "at", 0, "MOMENT", "what was live then, instead of now", OPTION_TEXT, &options.at },
	{ "all", 'a', NULL, "also what the C and C++ libraries keep for themselves", OPTION_FLAG,
	  &options.all },
	{ "suppressions", 0, "FILE", "leave out what FILE names (LeakSanitizer's format)",
	  OPTION_TEXT, &options.suppressions },
	{ "pid", 0, "PID", "of this process only", OPTION_NUMBER, &options.pid },
	OPTION_THREAD(options.thread),
	OPTION_MATCH,
	OPTION_MODULE,
	OPTION_ALL_FRAMES,
	OPTION_WRAPPERS,
	OPTION_JSON,
	OPTION_CSV,
	OPTIONS_END
};

static const struct column columns[] = {
	{ "live_bytes", "Bytes", CELL_BYTES, 0 },
	{ "share", "Share", CELL_PERCENT, COLUMN_SCREEN },
	{ "live_blocks", "Blocks", CELL_COUNT, 0 },
	{ "allocations", "Of", CELL_COUNT, 0 },
	{ "stacks", "Stacks", CELL_COUNT, COLUMN_DATA },
	{ "main_stack_id", "Stack", CELL_PLAIN, COLUMN_DATA },
	{ "module", "Module", CELL_TEXT, COLUMN_DATA },
	{ "function", "Function", CELL_TEXT, COLUMN_DATA },
	{ "file", "File", CELL_TEXT, COLUMN_DATA },
	{ "line", "Line", CELL_PLAIN, COLUMN_DATA },
	{ "site", "Call site", CELL_TEXT, COLUMN_FLEX | COLUMN_NAME },
};

static struct table *leaks_data(const struct profile *profile, const struct site *sites,
				size_t count)
{
	struct table *table =
		table_new_of(columns, sizeof(columns) / sizeof(*columns), site_fields);

	for (size_t i = 0; i < count && (!options.top || (int64_t)i < options.top); i++) {
		struct site_row row;

		if (sites[i].values[METRIC_LIVE_BLOCKS] <= 0)
			break;
		site_row_fill(&row, profile, &sites[i], METRIC_LIVE_BYTES);
		table_row(table, &row);
	}
	return table;
}

static void add_stack(struct table *table, const struct profile *profile, const struct site *site)
{
	char *lines;

	if (!options.stacks)
		return;
	lines = stack_lines(profile, site->main_stack, 8, terminal_width(stdout));
	table_under(table, lines);
	free(lines);
}

/* Under a function's row: each of its lines, and its call stack. */
static void add_lines(struct table *table, const struct profile *profile, const struct site *sites,
		      size_t count)
{
	size_t bytes;
	char *text = NULL;
	FILE *out = memory_stream(&text, &bytes);

	for (size_t i = 0; i < count; i++) {
		if (sites[i].values[METRIC_LIVE_BLOCKS] <= 0)
			continue;
		fprintf(out, "      %s in %s at %s\n",
			format_bytes(sites[i].values[METRIC_LIVE_BYTES]),
			format_plural(sites[i].values[METRIC_LIVE_BLOCKS], "block", "blocks"),
			frame_place(profile, sites[i].frame, false));
		if (options.stacks) {
			char *lines = stack_lines(profile, sites[i].main_stack, 8,
						  terminal_width(stdout));

			fputs(lines, out);
			free(lines);
		}
	}
	memory_stream_end(out);
	table_under(table, text);
	free(text);
}

/* One function: its `count` lines. False: none has a live block. */
static bool add_function(struct table *table, const struct profile *profile,
			 const struct site *sites, size_t count)
{
	struct site whole = sites[0];
	struct site_row row;
	size_t live = whole.values[METRIC_LIVE_BLOCKS] > 0, only = 0;
	char *text = NULL;

	for (size_t i = 1; i < count; i++) {
		if (sites[i].values[METRIC_LIVE_BLOCKS] > 0 && !live++)
			only = i;
		for (int metric = 0; metric < METRIC_COUNT; metric++)
			whole.values[metric] += sites[i].values[metric];
	}
	if (!live)
		return false;
	if (live == 1)
		whole = sites[only];
	site_row_fill(&row, profile, &whole, METRIC_LIVE_BYTES);
	if (live > 1)
		row.site = text = memory_print("%s %s", frame_name(profile, whole.frame),
					       frame_file(profile, whole.frame));
	table_row(table, &row);
	free(text);
	if (live > 1)
		add_lines(table, profile, sites, count);
	else
		add_stack(table, profile, &whole);
	return true;
}

/* For people: functions, with their lines below where there are several. */
static struct table *leaks_functions(const struct profile *profile, const struct site *sites,
				     size_t count)
{
	struct table *table =
		table_new_of(columns, sizeof(columns) / sizeof(*columns), site_fields);
	int64_t shown = 0;
	size_t lines;

	for (size_t at = 0; at < count && (!options.top || shown < options.top); at += lines) {
		lines = 1;
		while (at + lines < count && sites[at + lines].function == sites[at].function)
			lines++;
		shown += add_function(table, profile, &sites[at], lines);
	}
	return table;
}

static void leaks_text(const struct run *run, const struct profile *profile, struct table *table,
		       const struct suppressed *suppressed, const struct suppressed *kept,
		       int64_t ageless)
{
	printf("Run %s: %s in %s", format_plain(run->run_id),
	       format_bytes(profile->sums[METRIC_LIVE_BYTES]),
	       format_plural(profile->sums[METRIC_LIVE_BLOCKS], "block", "blocks"));
	if (options.since)
		printf(" allocated after '%s' and", options.since);
	if (options.at)
		printf(" live at '%s'", options.at);
	else
		fputs(strcmp(run->state, "running") == 0 ? " live now" : " never freed", stdout);
	if (suppressed->stacks)
		printf(" (and %s suppressed)", format_bytes(suppressed->bytes));
	putchar('\n');
	if (kept->stacks)
		printf("(and %s in %s kept by the C and C++ libraries: --all shows them)\n",
		       format_bytes(kept->bytes), format_plural(kept->blocks, "block", "blocks"));
	if (ageless)
		printf("(%s left out: allocated while recording was off, at an unknown time)\n",
		       format_plural(ageless, "block is", "blocks are"));
	if (!table_rows(table))
		return;
	putchar('\n');
	table_print(table, stdout, 2);
	if (!options.stacks)
		printf("\nTo see the call stacks: heaptape leaks --stacks%s %s\n",
		       shell_database_option(shared.db), format_plain(run->run_id));
}

/* What is left out of the list, and why. */
struct left_out {
	struct suppressed suppressed, kept;
	int64_t ageless;
};

/* Other live blocks than those at the end, if --since, --at or --thread asks for them. */
static int load_moments(struct recording *recording, int64_t process_id, int64_t *ret_ageless,
			struct error *error)
{
	int64_t since_ns = -1, at_ns = INT64_MAX;
	char *threads = NULL;
	int result = 0;

	if (!options.since && !options.at && !options.thread)
		return 0;
	if (options.since)
		result = moment_select(&recording->db, &recording->run, options.since, &since_ns,
				       error);
	if (!result && options.at)
		result = moment_select(&recording->db, &recording->run, options.at, &at_ns, error);
	if (!result && options.thread)
		result = thread_select(&recording->db, &recording->run, options.thread, &threads,
				       error);
	if (!result)
		result = db_register(&recording->db, error);
	if (!result)
		result = live_load(&recording->db, &recording->run, process_id, threads, since_ns,
				   at_ns, &recording->profile, ret_ageless, error);
	free(threads);
	return result;
}

static int load(struct recording *recording, const char *run,
		const struct suppressions *suppressions, struct left_out *ret_left_out,
		struct error *error)
{
	int64_t process_id = 0;
	int result = recording_open_run(recording, run, error);

	if (!result)
		result = run_process(&recording->db, &recording->run, options.pid, &process_id,
				     error);
	if (!result)
		result = recording_load_profile(recording, process_id, error);
	if (!result)
		result = load_moments(recording, process_id, &ret_left_out->ageless, error);
	if (result)
		return result;
	recording_filter(recording);
	if (options.suppressions)
		suppressions_apply(suppressions, &recording->profile, METRIC_LIVE_BYTES,
				   &ret_left_out->suppressed);
	if (!options.all)
		suppress_kept(&recording->profile, METRIC_LIVE_BYTES, &ret_left_out->kept);
	return 0;
}

static void show(const struct recording *recording, const struct left_out *left_out)
{
	struct site *sites;
	size_t count = sites_group(&recording->profile, &sites);
	struct table *table;

	if (cli_form() == TABLE_SCREEN) {
		sites_sort_functions(&recording->profile, sites, count, METRIC_LIVE_BYTES);
		table = leaks_functions(&recording->profile, sites, count);
		leaks_text(&recording->run, &recording->profile, table, &left_out->suppressed,
			   &left_out->kept, left_out->ageless);
	} else {
		sites_sort(sites, count, METRIC_LIVE_BYTES);
		table = leaks_data(&recording->profile, sites, count);
		table_show(table, stdout, cli_form());
	}
	table_free(table);
	sites_free(sites, count);
}

static int leaks_main(int argc, char **argv)
{
	struct suppressions suppressions = { 0 };
	struct recording recording = { 0 };
	struct left_out left_out = { 0 };
	struct error error;
	int result = 0;

	if (argc > 1)
		return usage_error("leaks", "unexpected argument '%s'", argv[1]);
	if (options.top < 0)
		return usage_error("leaks", "--top cannot be negative");
	if (options.suppressions)
		result = suppressions_load(options.suppressions, &suppressions, &error);
	if (!result)
		result = load(&recording, argc ? argv[0] : NULL, &suppressions, &left_out, &error);
	if (!result)
		show(&recording, &left_out);
	suppressions_release(&suppressions);
	recording_close(&recording);
	return result ? cli_failed(&error) : STATUS_DONE;
}

const struct command command_leaks = {
	.name = "leaks",
	.arguments = "[RUN]",
	.summary = "what was never freed, by call site",
	.details = "Blocks that were still live when their process ended, the most bytes first. "
		   "A\nfunction that has them from several lines is one row, with its lines below; "
		   "JSON\n"
		   "and CSV have a row a line. 'Of' is\n"
		   "how many blocks the call site allocated in all. What the C and C++ libraries\n"
		   "keep for themselves (a stream's buffer, tables of locales) is one line of its\n"
		   "own, unless --all asks for it. With --since, only blocks\n"
		   "allocated after a moment: what a running program keeps and should not.\n"
		   "With --thread, 'Of' still counts the blocks of all threads.\n"
		   "\n"
		   "A MOMENT is " MOMENT_HELP,
	.options = rows,
	.main = leaks_main,
};
