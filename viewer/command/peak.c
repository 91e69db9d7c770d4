/* heaptape peak: what was live when the heap was at its largest, as a call tree. */
#include <stdlib.h>
#include <string.h>

#include "viewer/command/commands.h"
#include "viewer/command/recording.h"
#include "viewer/memory.h"
#include "viewer/model/frame.h"
#include "viewer/model/suppress.h"
#include "viewer/model/tree.h"
#include "viewer/print/format.h"
#include "viewer/print/table.h"
#include "viewer/print/text.h"

static struct {
	bool top_down, bottom_up, whole;
	const char *min;
	const char *group;
	const char *suppressions;
	int64_t depth;
	int64_t pid;
} options = { .min = "1%", .group = "function" };

static const struct option_row rows[] = {
	OPTION_DB,
	{ "bottom-up", 0, NULL, "from the call sites to their callers (default)", OPTION_FLAG,
	  &options.bottom_up },
	{ "top-down", 0, NULL, "from main to the call sites", OPTION_FLAG, &options.top_down },
	{ "min", 0, "N%", "leave out what is less than N% of the peak (default: 1%)", OPTION_TEXT,
	  &options.min },
	{ "depth", 0, "N", "levels of the tree (default: all)", OPTION_NUMBER, &options.depth },
	{ "group", 0, "BY", "function, module or file (default: function)", OPTION_TEXT,
	  &options.group },
	{ "whole", 0, NULL, "do not fold long chains of single callers", OPTION_FLAG,
	  &options.whole },
	{ "suppressions", 0, "FILE", "leave out what FILE names (LeakSanitizer's format)",
	  OPTION_TEXT, &options.suppressions },
	{ "pid", 0, "PID", "of this process (default: the one with the highest peak)",
	  OPTION_NUMBER, &options.pid },
	OPTION_MATCH,
	OPTION_MODULE,
	OPTION_ALL_FRAMES,
	OPTION_WRAPPERS,
	OPTION_JSON,
	OPTION_CSV,
	OPTIONS_END
};

struct printer {
	const struct profile *profile;
	const struct tree *tree;
	int64_t least; /* nodes below are left out */
	int width;
	bool by_function;
};

static uint32_t shown_children(const struct printer *printer, uint32_t node)
{
	uint32_t count = 0;

	for (uint32_t at = printer->tree->nodes[node].first_child; at;
	     at = printer->tree->nodes[at].next)
		count += printer->tree->nodes[at].values[METRIC_PEAK_BYTES] >= printer->least;
	return count;
}

/* `again`: the numbers are those of the line above, and are not repeated. */
static void print_node(const struct printer *printer, uint32_t node, const char *prefix, bool again)
{
	const struct tree_node *at = &printer->tree->nodes[node];
	const char *place = !printer->by_function || at->folded ? ""
			    : at->mixed ? frame_file(printer->profile, at->frame)
					: frame_place(printer->profile, at->frame, false);
	char *label =
		memory_print("%s%s%s", tree_label(printer->tree, node), *place ? " " : "", place);
	size_t used = 10 + 9 + 11 + 4 + text_width(prefix);
	char *fitted = text_fit(label,
				!printer->width			     ? 0
				: (size_t)printer->width > used + 16 ? (size_t)printer->width - used
								     : 16,
				FIT_NAME);

	printf("%10s  %7s  %9s  %s%s\n", again ? "" : format_bytes(at->values[METRIC_PEAK_BYTES]),
	       again ? ""
		     : format_percent((double)at->values[METRIC_PEAK_BYTES],
				      (double)printer->tree->nodes[0].values[METRIC_PEAK_BYTES]),
	       again ? "" : format_count(at->values[METRIC_PEAK_BLOCKS]), prefix, fitted);
	free(label);
	free(fitted);
}

/* Where a chain in which nothing is added or lost is folded: after so many lines, when more than
 * one line is saved. */
#define CHAIN_SHOWN 4

static uint32_t only_child(const struct printer *printer, uint32_t node)
{
	uint32_t child = printer->tree->nodes[node].first_child;

	return child && !printer->tree->nodes[child].next &&
			       printer->tree->nodes[child].values[METRIC_PEAK_BYTES] ==
				       printer->tree->nodes[node].values[METRIC_PEAK_BYTES]
		       ? child
		       : 0;
}

/* Nodes from `node` on to the chain's end, when it ends without a fork; else 0. */
static unsigned chain_tail(const struct printer *printer, uint32_t node, uint32_t *ret_last)
{
	unsigned length = 0;

	for (*ret_last = node; node; node = only_child(printer, node)) {
		*ret_last = node;
		length++;
	}
	return printer->tree->nodes[*ret_last].first_child ? 0 : length;
}

/* A chain of single callers goes straight down; only a fork indents. */
static void print_children(const struct printer *printer, uint32_t node, const char *prefix,
			   int64_t depth, unsigned chain)
{
	uint32_t count = shown_children(printer, node), seen = 0;

	if (options.depth && depth > options.depth)
		return;
	for (uint32_t at = printer->tree->nodes[node].first_child; at;
	     at = printer->tree->nodes[at].next) {
		bool again = node && only_child(printer, node), last;
		char *own, *below;
		uint32_t end;
		unsigned tail;

		if (printer->tree->nodes[at].values[METRIC_PEAK_BYTES] < printer->least)
			continue;
		last = ++seen == count;
		own = memory_print("%s%s", prefix, again ? "" : last ? "└ " : "├ ");
		below = memory_print("%s%s", prefix, again ? "" : last ? "  " : "│ ");
		tail = again && chain >= CHAIN_SHOWN && !options.whole
			       ? chain_tail(printer, at, &end)
			       : 0;
		if (tail > 2) {
			printf("%30s  %s⋮ %u more\n", "", own, tail - 1);
			print_node(printer, end, own, true);
		} else {
			print_node(printer, at, own, again);
			print_children(printer, at, below, depth + 1, again ? chain + 1 : 1);
		}
		free(own);
		free(below);
	}
}

/* What reads JSON has limits of its own (jq: some 85 of these levels). --csv has every level. */
#define JSON_LEVELS 80

static void json_node(struct json *json, const struct printer *printer, uint32_t node,
		      int64_t depth)
{
	const struct tree_node *at = &printer->tree->nodes[node];
	const struct frame *frame = &printer->profile->frames[at->frame];

	json_object(json, NULL);
	json_one_line(json);
	json_text(json, "name", tree_label(printer->tree, node));
	json_number(json, "peak_bytes", at->values[METRIC_PEAK_BYTES]);
	json_number(json, "peak_blocks", at->values[METRIC_PEAK_BLOCKS]);
	if (frame->file && node && !at->folded) {
		json_text(json, "file", frame->file);
		if (!at->mixed)
			json_number(json, "line", frame->line);
	}
	if (shown_children(printer, node) && (!options.depth || depth < options.depth)) {
		if (depth == JSON_LEVELS) {
			json_bool(json, "deeper", true);
			json_end(json);
			return;
		}
		json_array(json, "children");
		for (uint32_t child = at->first_child; child;
		     child = printer->tree->nodes[child].next)
			if (printer->tree->nodes[child].values[METRIC_PEAK_BYTES] >= printer->least)
				json_node(json, printer, child, depth + 1);
		json_end(json);
	}
	json_end(json);
}

struct node_row {
	int64_t node, parent_node, depth, peak_bytes, peak_blocks;
	const char *name;
};

#define NODE(member, type)                                                    \
	{                                                                     \
#member, type, offsetof(struct node_row, member), ROW_DERIVED \
	}

static const struct row_field node_fields[] = { NODE(node, ROW_NUMBER),
						NODE(parent_node, ROW_NUMBER),
						NODE(depth, ROW_NUMBER),
						NODE(peak_bytes, ROW_NUMBER),
						NODE(peak_blocks, ROW_NUMBER),
						NODE(name, ROW_TEXT),
						ROW_END };

static const struct column node_columns[] = {
	{ "node", "", CELL_PLAIN, 0 },	      { "parent_node", "", CELL_PLAIN, 0 },
	{ "depth", "", CELL_PLAIN, 0 },	      { "peak_bytes", "", CELL_PLAIN, 0 },
	{ "peak_blocks", "", CELL_PLAIN, 0 }, { "name", "", CELL_TEXT, 0 },
};

static void csv_node(const struct printer *printer, uint32_t node, int64_t parent, int64_t depth,
		     struct table *table)
{
	const struct tree_node *at = &printer->tree->nodes[node];
	const struct node_row row = { .node = node,
				      .parent_node = parent,
				      .depth = depth,
				      .peak_bytes = at->values[METRIC_PEAK_BYTES],
				      .peak_blocks = at->values[METRIC_PEAK_BLOCKS],
				      .name = tree_label(printer->tree, node) };

	table_row(table, &row);
	for (uint32_t child = at->first_child; child && (!options.depth || depth < options.depth);
	     child = printer->tree->nodes[child].next)
		if (printer->tree->nodes[child].values[METRIC_PEAK_BYTES] >= printer->least)
			csv_node(printer, child, node, depth + 1, table);
}

static void print_csv(const struct printer *printer)
{
	struct table *table = table_new_of(
		node_columns, sizeof(node_columns) / sizeof(*node_columns), node_fields);

	csv_node(printer, 0, UNKNOWN, 0, table);
	table_csv(table, stdout);
	table_free(table);
}

static void show(const struct run *run, const struct printer *printer)
{
	struct json json;

	if (shared.json) {
		json_init(&json, stdout);
		json_node(&json, printer, 0, 0);
		return;
	}
	if (shared.csv) {
		print_csv(printer);
		return;
	}
	printf("Run %s: %s in %s", format_plain(run->run_id), format_bytes(run->peak_bytes),
	       format_plural(run->peak_blocks, "block", "blocks"));
	if (run->peak_ns != UNKNOWN)
		printf(" at the peak, %s into the run", format_duration(run->peak_ns));
	if (run->processes > 1)
		printf(", in process %s", format_plain(run->peak_pid));
	printf("\n\n%s%10s  %7s  %9s  %s%s\n", style_on(stdout, STYLE_DIM), "Bytes", "Share",
	       "Blocks",
	       options.top_down ? "From main to the call sites" : "Call sites, and who called them",
	       style_on(stdout, STYLE_OFF));
	print_children(printer, 0, "", 1, 0);
}

static int suppress(struct profile *profile, struct error *error)
{
	struct suppressions suppressions;
	struct suppressed suppressed;
	int result = suppressions_load(options.suppressions, &suppressions, error);

	if (result)
		return result;
	suppressions_apply(&suppressions, profile, METRIC_PEAK_BYTES, &suppressed);
	suppressions_release(&suppressions);
	return 0;
}

/* The run's own numbers become those of the process whose peak is shown. */
static int load(struct recording *recording, const char *name, struct error *error)
{
	struct run *run = &recording->run;
	int64_t process_id = 0;
	int result = recording_open_run(recording, name, error);

	if (!result)
		result = run_process(&recording->db, run, options.pid, &process_id, error);
	if (!result)
		result = run_load_peak(&recording->db, run, process_id, error);
	if (!result)
		result = recording_load_profile(recording, run->peak_process_id, error);
	if (result)
		return result;
	recording_filter(recording);
	return options.suppressions ? suppress(&recording->profile, error) : 0;
}

static void draw(const struct recording *recording, const struct tree_options *how, double min)
{
	struct printer printer;
	struct tree tree;

	tree_build(&recording->profile, how, &tree);
	tree_sort(&tree);
	printer = (struct printer){ &recording->profile, &tree,
				    (int64_t)((double)tree.nodes[0].values[METRIC_PEAK_BYTES] *
					      min / 100),
				    terminal_width(stdout), how->group == TREE_BY_FUNCTION };
	show(&recording->run, &printer);
	tree_release(&tree);
}

static int peak_main(int argc, char **argv)
{
	struct tree_options how = { .sort = METRIC_PEAK_BYTES };
	struct recording recording = { 0 };
	struct error error;
	char *end;
	double min = strtod(options.min, &end);
	int result;

	if (argc > 1)
		return usage_error("peak", "unexpected argument '%s'", argv[1]);
	if (end == options.min || (*end && strcmp(end, "%") != 0) || !(min >= 0 && min <= 100))
		return usage_error("peak", "--min is a percentage such as 1%%, not '%s'",
				   options.min);
	if (!tree_group_parse(options.group, &how.group))
		return usage_error("peak", "--group is function, module or file, not '%s'",
				   options.group);
	if (options.top_down && options.bottom_up)
		return usage_error("peak", "--top-down and --bottom-up cannot be used together");
	if (options.depth < 0)
		return usage_error("peak", "--depth is a number from 1 up");
	how.bottom_up = !options.top_down;
	result = load(&recording, argc ? argv[0] : NULL, &error);
	if (!result)
		draw(&recording, &how, min);
	recording_close(&recording);
	return result ? cli_failed(&error) : STATUS_DONE;
}

const struct command command_peak = {
	.name = "peak",
	.arguments = "[RUN]",
	.summary = "what was live when the heap was largest, as a call tree",
	.details =
		"The exact moment at which most bytes were live. A caller that stands straight "
		"below\n"
		"its line is the only one; where there are several, each is indented. --json goes\n"
		"80 levels deep (\"deeper\": true says where it ends), --csv all the way. What is "
		"live at\n"
		"the peak is not stored by thread: 'leaks --at peak --thread TEXT' computes it.",
	.options = rows,
	.main = peak_main,
};
