/* heaptape leaks: what was never freed, by where it was allocated. */
#include <stdlib.h>
#include <string.h>

#include "viewer/command/commands.h"
#include "viewer/model/db.h"
#include "viewer/model/filter.h"
#include "viewer/print/format.h"
#include "viewer/model/moment.h"
#include "viewer/print/report_tables.h"
#include "viewer/sqlite/heaptape_sqlite.h"
#include "viewer/print/summary.h"
#include "viewer/model/suppress.h"

static struct {
	int64_t top, pid;
	bool stacks, all;
	const char *suppressions;
	const char *since, *at;
} options = { .top = 20 };

static const struct option_row rows[] = {
	OPTION_DB,
	{ "top", 'n', "N", "rows (default: 20; 0: all)", OPTION_NUMBER, &options.top },
	{ "stacks", 's', NULL, "show the whole stack of each call site", OPTION_FLAG,
	  &options.stacks },
	{ "since", 0, "MOMENT", "only blocks allocated after that moment", OPTION_TEXT,
	  &options.since },
	{ "at", 0, "MOMENT", "what was live then, instead of now", OPTION_TEXT, &options.at },
	{ "all", 'a', NULL, "also what the C and C++ libraries keep for themselves", OPTION_FLAG,
	  &options.all },
	{ "suppressions", 0, "FILE", "leave out what FILE names (LeakSanitizer's format)",
	  OPTION_TEXT, &options.suppressions },
	{ "pid", 0, "PID", "of this process only", OPTION_NUMBER, &options.pid },
	OPTION_MATCH,
	OPTION_MODULE,
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

static struct table *leaks_table(const struct profile *profile, const struct site *sites,
				 size_t count)
{
	struct table *table = table_new(columns, sizeof(columns) / sizeof(*columns));

	for (size_t i = 0; i < count && (!options.top || (int64_t)i < options.top); i++) {
		const struct frame *frame = &profile->frames[sites[i].frame];
		int64_t bytes = sites[i].values[METRIC_LIVE_BYTES];

		if (sites[i].values[METRIC_LIVE_BLOCKS] <= 0)
			break;
		table_number(table, bytes);
		table_real(table, profile->sums[METRIC_LIVE_BYTES]
					  ? (double)bytes / (double)profile->sums[METRIC_LIVE_BYTES]
					  : 0);
		table_number(table, sites[i].values[METRIC_LIVE_BLOCKS]);
		table_number(table, sites[i].values[METRIC_ALLOCATIONS]);
		table_number(table, sites[i].stacks);
		table_number(table, sites[i].main_stack);
		table_text(table, profile->modules[frame->module].path);
		table_text(table, frame->function);
		table_text(table, frame->file);
		if (frame->line > 0)
			table_number(table, frame->line);
		else
			table_null(table);
		table_text(table, sites[i].text);
		if (options.stacks) {
			char *lines = stack_lines(profile, sites[i].main_stack, 8);

			table_under(table, lines);
			free(lines);
		}
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
		printf("(%s left out: allocated while recording was off, nobody knows when)\n",
		       format_plural(ageless, "block is", "blocks are"));
	if (!table_rows(table))
		return;
	putchar('\n');
	table_print(table, stdout, 2);
	if (!options.stacks)
		printf("\nWith the way to each: heaptape leaks --stacks%s %s\n",
		       database_option(shared.db), format_plain(run->run_id));
}

/* What is live, or was, at one moment and younger than another, in the place of what is live now.
 * Returns the blocks whose age is not known. */
static int64_t load_moments(sqlite3 *db, const struct run *run, int64_t process,
			    struct profile *profile)
{
	int64_t since = options.since ? moment_select(db, run, options.since) : -1;
	int64_t at = options.at ? moment_select(db, run, options.at) : INT64_MAX;
	int64_t ageless = 0;
	sqlite3_stmt *row;

	if (heaptape_sqlite_register(db) != SQLITE_OK)
		die("cannot add the table allocations: %s", sqlite3_errmsg(db));
	profile_clear_live(profile);
	/* A block that was listed after the moment may be older or younger. */
	row = db_query(
		db,
		"SELECT stack_id, allocated_at_ns IS NULL AND coalesce(listed_at_ns, ?4) > "
		"iif(?2 < 0, ?3, ?2) AS ageless, count(*), sum(size_bytes) FROM allocations "
		"WHERE run_id = ?1 AND (?5 = 0 OR process_id = ?5) AND (freed_at_ns IS NULL OR "
		"freed_at_ns > ?3) AND "
		"(allocated_at_ns IS NULL OR allocated_at_ns > ?2 AND allocated_at_ns <= ?3) "
		"AND (allocated_at_ns IS NOT NULL OR ?2 < 0 OR "
		"coalesce(listed_at_ns, ?4) > ?2) GROUP BY 1, 2",
		"iiiii", run->run_id, since, at, INT64_MAX, process);
	while (db_next(row)) {
		if (sqlite3_column_int(row, 1))
			ageless += sqlite3_column_int64(row, 2);
		else
			profile_add_live(profile, sqlite3_column_int64(row, 0),
					 sqlite3_column_int64(row, 2),
					 sqlite3_column_int64(row, 3));
	}
	return ageless;
}

static int leaks_main(int argc, char **argv)
{
	struct suppressions suppressions = { 0 };
	struct suppressed suppressed = { 0, 0, 0 }, kept = { 0, 0, 0 };
	int64_t ageless = 0, process;
	size_t count;
	struct profile profile;
	struct table *table;
	struct site *sites;
	struct run run;
	sqlite3 *db;

	if (argc > 1)
		return usage_error("leaks", "'%s' is one argument too many", argv[1]);
	if (options.top < 0)
		return usage_error("leaks", "--top is not negative");
	if (options.suppressions)
		suppressions_load(options.suppressions, &suppressions);
	db = db_open();
	db_snapshot(db);
	run_load(db, run_select(db, argc ? argv[0] : NULL), &run);
	process = run_process(db, &run, options.pid);
	profile_load(db, &run, process, &profile);
	if (options.since || options.at)
		ageless = load_moments(db, &run, process, &profile);
	filter_apply(&profile);
	if (options.suppressions)
		suppressions_apply(&suppressions, &profile, METRIC_LIVE_BYTES, &suppressed);
	if (!options.all)
		suppress_kept(&profile, METRIC_LIVE_BYTES, &kept);
	count = sites_group(&profile, &sites);
	sites_sort(sites, count, METRIC_LIVE_BYTES);
	table = leaks_table(&profile, sites, count);
	if (shared.json || shared.csv)
		table_show(table, stdout);
	else
		leaks_text(&run, &profile, table, &suppressed, &kept, ageless);
	table_free(table);
	sites_free(sites, count);
	profile_release(&profile);
	suppressions_free(&suppressions);
	run_release(&run);
	db_close(db);
	return STATUS_DONE;
}

const struct command command_leaks = {
	.name = "leaks",
	.arguments = "[RUN]",
	.summary = "what was never freed, by call site",
	.details = "Blocks that were still live when their process ended, the most bytes first. "
		   "'Of' is\n"
		   "how many blocks the call site allocated in all. What the C and C++ libraries\n"
		   "keep for themselves (a stream's buffer, tables of locales) is one line of its\n"
		   "own, unless --all asks for it. With --since, only blocks\n"
		   "allocated after a moment: what a program that goes on keeps and should not.\n"
		   "\n"
		   "A MOMENT is " MOMENT_HELP,
	.options = rows,
	.main = leaks_main,
};
