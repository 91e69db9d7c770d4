/* heaptape growth: what the heap gained, lost and kept between two moments. */
#include <stdlib.h>

#include "viewer/command/commands.h"
#include "viewer/command/recording.h"
#include "viewer/memory.h"
#include "viewer/model/growth.h"
#include "viewer/model/moment.h"
#include "viewer/model/thread.h"
#include "viewer/print/format.h"
#include "viewer/print/shell.h"
#include "viewer/print/stack.h"
#include "viewer/print/text.h"

static struct {
	const char *from, *to;
	bool grew, shrank, transient, kept;
	bool stacks;
	int64_t top, pid;
	const char *thread;
} options = { .top = 20 };

static const struct option_row rows[] = {
	OPTION_DB,
	{ "from", 0, "MOMENT", "the first moment (default: the first mark, else the beginning)",
	  OPTION_TEXT, &options.from },
	{ "to", 0, "MOMENT", "the second moment (default: the end)", OPTION_TEXT, &options.to },
	{ "grew", 0, NULL, "only call sites with more live bytes than before", OPTION_FLAG,
	  &options.grew },
	{ "shrank", 0, NULL, "only call sites with fewer live bytes than before", OPTION_FLAG,
	  &options.shrank },
	{ "transient", 0, NULL, "only call sites with blocks that came and went", OPTION_FLAG,
	  &options.transient },
	{ "kept", 0, NULL, "only call sites with blocks that were live all the time", OPTION_FLAG,
	  &options.kept },
	{ "top", 'n', "N", "rows (default: 20; 0: all)", OPTION_NUMBER, &options.top },
	{ "stacks", 's', NULL, "show the call stack of each call site", OPTION_FLAG,
	  &options.stacks },
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
	{ "change_bytes", "Change", CELL_BYTES, COLUMN_DATA },
	{ "change_blocks", "Change", CELL_COUNT, COLUMN_DATA },
	{ "grew_bytes", "Grew", CELL_BYTES, 0 },
	{ "grew_blocks", "Grew", CELL_COUNT, COLUMN_DATA },
	{ "shrank_bytes", "Shrank", CELL_BYTES, 0 },
	{ "shrank_blocks", "Shrank", CELL_COUNT, COLUMN_DATA },
	{ "transient_bytes", "Transient", CELL_BYTES, 0 },
	{ "transient_blocks", "Transient", CELL_COUNT, COLUMN_DATA },
	{ "kept_bytes", "Kept", CELL_BYTES, 0 },
	{ "kept_blocks", "Kept", CELL_COUNT, COLUMN_DATA },
	{ "stacks", "Stacks", CELL_COUNT, COLUMN_DATA },
	{ "main_stack_id", "Stack", CELL_PLAIN, COLUMN_DATA },
	{ "module", "Module", CELL_TEXT, COLUMN_DATA },
	{ "function", "Function", CELL_TEXT, COLUMN_DATA },
	{ "file", "File", CELL_TEXT, COLUMN_DATA },
	{ "line", "Line", CELL_PLAIN, COLUMN_DATA },
	{ "site", "Call site", CELL_TEXT, COLUMN_FLEX | COLUMN_NAME },
};

static enum growth_list list_asked(void)
{
	return options.grew	   ? GROWTH_LIST_GREW
	       : options.shrank	   ? GROWTH_LIST_SHRANK
	       : options.transient ? GROWTH_LIST_TRANSIENT
	       : options.kept	   ? GROWTH_LIST_KEPT
				   : GROWTH_LIST_ALL;
}

/* The two moments, and what to call the first. */
struct moments {
	int64_t from_ns, to_ns;
	char *mark; /* the first mark, when --from names nothing */
};

static int moments_load(struct recording *recording, struct moments *ret_moments,
			struct error *error)
{
	struct moments moments = { -1, INT64_MAX, NULL };
	int result = 0;

	if (options.to)
		result = moment_select(&recording->db, &recording->run, options.to, &moments.to_ns,
				       error);
	if (!result && options.from)
		result = moment_select(&recording->db, &recording->run, options.from,
				       &moments.from_ns, error);
	else if (!result)
		result = growth_from(&recording->db, &recording->run, &moments.from_ns,
				     &moments.mark, error);
	if (!result)
		*ret_moments = moments;
	return result;
}

/* "'loaded' (12.3 ms)", as a heap copy. */
static char *moment_text(const char *name, int64_t at_ns, const char *unnamed)
{
	char *text, *fitted;

	if (!name)
		return memory_copy(unnamed);
	text = at_ns == INT64_MAX ? memory_print("'%s'", name)
				  : memory_print("'%s' (%s)", name, format_duration(at_ns));
	fitted = text_fit(text, 0, FIT_START);
	free(text);
	return fitted;
}

static void print_sum(const char *before, struct growth_sum sum, const char *after)
{
	printf("%s%s in %s%s", before, format_bytes(sum.bytes),
	       format_plural(sum.blocks, "block", "blocks"), after);
}

static void print_totals(const struct run *run, const struct growth *growth,
			 const struct moments *moments)
{
	const struct growth_sum *sums = growth->sums;
	struct growth_sum change = growth_change(sums);
	struct growth_sum before = { sums[GROWTH_KEPT].blocks + sums[GROWTH_SHRANK].blocks,
				     sums[GROWTH_KEPT].bytes + sums[GROWTH_SHRANK].bytes };
	struct growth_sum after = { before.blocks + change.blocks, before.bytes + change.bytes };
	char *from = moment_text(options.from ? options.from : moments->mark, moments->from_ns,
				 "the beginning");
	char *to = moment_text(options.to, moments->to_ns, "the end");

	printf("Run %s, from %s to %s:\n", format_plain(run->run_id), from, to);
	if (change.bytes)
		printf("live bytes %s by %s,\n", change.bytes > 0 ? "grew" : "shrank",
		       format_bytes(llabs(change.bytes)));
	else
		fputs("live bytes did not change,\n", stdout);
	print_sum("from ", before, " ");
	print_sum("to ", after, ".\n");
	print_sum("Allocated and still live: ", sums[GROWTH_GREW], "; ");
	print_sum("freed: ", sums[GROWTH_SHRANK], ";\n");
	print_sum("allocated and freed: ", sums[GROWTH_TRANSIENT], "; ");
	print_sum("live throughout: ", sums[GROWTH_KEPT], ".\n");
	if (growth->ageless)
		printf("(%s left out: allocated while recording was off, at an unknown time)\n",
		       format_plural(growth->ageless, "block is", "blocks are"));
	free(from);
	free(to);
}

static struct table *sites_table_of(const struct profile *profile, const struct growth_site *sites,
				    size_t count)
{
	struct table *table =
		table_new_of(columns, sizeof(columns) / sizeof(*columns), growth_fields);

	for (size_t i = 0; i < count && (!options.top || (int64_t)i < options.top); i++) {
		struct growth_row row;
		char *lines;

		growth_row_fill(&row, profile, &sites[i]);
		table_row(table, &row);
		if (!options.stacks)
			continue;
		lines = stack_lines(profile, sites[i].main_stack, 8, terminal_width(stdout));
		table_under(table, lines);
		free(lines);
	}
	return table;
}

static void json_moment(struct json *json, const char *key, int64_t at_ns)
{
	if (at_ns < 0 || at_ns == INT64_MAX)
		json_null(json, key);
	else
		json_number(json, key, at_ns);
}

static void json_totals(struct json *json, const struct growth *growth)
{
	static const char *const names[] = { "grew", "shrank", "transient", "kept" };

	json_object(json, "totals");
	for (int kind = 0; kind < GROWTH_KINDS; kind++) {
		json_object(json, names[kind]);
		json_one_line(json);
		json_number(json, "bytes", growth->sums[kind].bytes);
		json_number(json, "blocks", growth->sums[kind].blocks);
		json_end(json);
	}
	json_end(json);
}

static void print_json(const struct run *run, const struct growth *growth,
		       const struct moments *moments, const struct table *table)
{
	struct json json;

	json_init(&json, stdout);
	json_object(&json, NULL);
	json_number(&json, "run_id", run->run_id);
	json_text(&json, "from", options.from ? options.from : moments->mark);
	json_moment(&json, "from_ns", moments->from_ns);
	json_text(&json, "to", options.to);
	json_moment(&json, "to_ns", moments->to_ns);
	json_totals(&json, growth);
	json_number(&json, "blocks_of_unknown_age", growth->ageless);
	table_json(table, &json, "sites");
	json_end(&json);
}

static void show(const struct recording *recording, const struct growth *growth,
		 const struct moments *moments)
{
	const struct run *run = &recording->run;
	struct growth_site *sites;
	size_t count = growth_sites(growth, &recording->profile, list_asked(), &sites);
	struct table *table = sites_table_of(&recording->profile, sites, count);

	if (shared.json) {
		print_json(run, growth, moments, table);
	} else if (shared.csv) {
		table_csv(table, stdout);
	} else {
		print_totals(run, growth, moments);
		if (table_rows(table)) {
			putchar('\n');
			table_print(table, stdout, 2);
		}
		if (table_rows(table) < count)
			printf("  ... and %s (-n 0 shows all)\n",
			       format_plural((int64_t)(count - table_rows(table)), "more call site",
					     "more call sites"));
	}
	table_free(table);
	growth_sites_free(sites, count);
}

static int answer(struct recording *recording, const struct moments *moments, struct error *error)
{
	const struct filter filter = { shared.match, shared.module };
	struct growth growth = { 0 };
	int64_t process_id = 0;
	char *threads = NULL;
	int result = run_process(&recording->db, &recording->run, options.pid, &process_id, error);

	if (!result)
		result = recording_load_profile(recording, process_id, error);
	if (!result && options.thread)
		result = thread_select(&recording->db, &recording->run, options.thread, &threads,
				       error);
	if (!result)
		result = db_register(&recording->db, error);
	if (!result)
		result = growth_load(&recording->db, &recording->run, process_id, threads,
				     moments->from_ns, moments->to_ns, &recording->profile, &growth,
				     error);
	free(threads);
	if (result)
		return result;
	growth_filter(&growth, &filter, &recording->profile);
	show(recording, &growth, moments);
	growth_release(&growth);
	return 0;
}

static int growth_main(int argc, char **argv)
{
	struct moments moments = { -1, INT64_MAX, NULL };
	struct recording recording = { 0 };
	struct error error;
	int status = STATUS_DONE;

	if (argc > 1)
		return usage_error("growth", "unexpected argument '%s'", argv[1]);
	if (options.top < 0)
		return usage_error("growth", "--top cannot be negative");
	if (options.grew + options.shrank + options.transient + options.kept > 1)
		return usage_error(
			"growth",
			"--grew, --shrank, --transient and --kept cannot be used together");
	if (recording_open_run(&recording, argc ? argv[0] : NULL, &error) ||
	    moments_load(&recording, &moments, &error))
		status = cli_failed(&error);
	else if (moments.from_ns > moments.to_ns)
		status = usage_error("growth", "'%s' is after '%s'; exchange --from and --to",
				     options.from ? options.from : moments.mark, options.to);
	else if (answer(&recording, &moments, &error))
		status = cli_failed(&error);
	free(moments.mark);
	recording_close(&recording);
	return status;
}

const struct command command_growth = {
	.name = "growth",
	.arguments = "[RUN]",
	.summary = "what the heap gained, lost and kept between two moments",
	.details =
		"Each block is counted once, at the call site that allocated it:\n"
		"  grew       allocated after the first moment and live at the second\n"
		"  shrank     live at the first moment and freed by the second\n"
		"  transient  allocated after the first moment and freed by the second\n"
		"  kept       live at both moments\n"
		"A resized block counts as freed and allocated again. The call sites whose live\n"
		"bytes changed most come first. --grew and --shrank compare the live bytes of a\n"
		"call site, so a buffer that is replaced by an equal one is in neither list.\n"
		"\n"
		"A MOMENT is " MOMENT_HELP,
	.options = rows,
	.main = growth_main,
};
