/* heaptape flame: the run as a flame graph, one page that needs nothing else. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/web/asset.h"
#include "viewer/command/commands.h"
#include "viewer/model/db.h"
#include "viewer/model/filter.h"
#include "viewer/print/format.h"
#include "viewer/print/json.h"
#include "viewer/model/metric.h"
#include "viewer/print/output.h"
#include "viewer/print/table.h"
#include "viewer/model/tree.h"

static struct {
	const char *of;
	const char *output;
	int64_t pid;
} options = { .of = "allocated" };

static const struct option_row rows[] = {
	OPTION_DB,
	OPTION_MATCH,
	OPTION_MODULE,
	{ "of", 0, "WHAT", MEASURE_NAMES " (default: allocated)", OPTION_TEXT, &options.of },
	{ "output", 'o', "FILE", "write FILE (default: heaptape-RUN.html; -: standard output)",
	  OPTION_TEXT, &options.output },
	{ "pid", 0, "PID", "of this process only", OPTION_NUMBER, &options.pid },
	OPTIONS_END
};

/* A branch below one part in this many of every measure would be no wider than a hair. */
#define FLAME_LEAST 20000

static bool worth_drawing(const struct tree *tree, uint32_t node)
{
	for (size_t i = 0; i < measure_count; i++) {
		enum metric metric = measures[i].metric;

		if (tree->nodes[node].values[metric] > tree->nodes[0].values[metric] / FLAME_LEAST)
			return true;
	}
	return false;
}

/* A string inside <script>: no '<', so that nothing in it can end the element. */
static void script_string(FILE *out, const char *text)
{
	char *quoted = NULL;
	size_t bytes;
	FILE *memory = open_memstream(&quoted, &bytes);

	if (!memory)
		die("out of memory");
	json_quote(memory, text, strlen(text));
	fclose(memory);
	for (const char *at = quoted; *at; at++)
		if (*at == '<')
			fputs("\\u003c", out);
		else
			fputc(*at, out);
	free(quoted);
}

/* Only frames that are drawn are named; `numbers` maps a node's label to its place. */
static void write_frames(FILE *out, const struct profile *profile, const struct tree *tree,
			 const bool *drawn, uint32_t *numbers)
{
	uint32_t count = 0;

	fputs("frames:[[\"all\",\"\",\"\"]", out);
	for (uint32_t node = 1; node < tree->count; node++) {
		uint32_t frame = tree->nodes[node].frame, label = tree->nodes[node].label;

		if (!drawn[node] || numbers[label])
			continue;
		numbers[label] = ++count;
		fputs(",\n[", out);
		script_string(out, tree_label(tree, node));
		fputc(',', out);
		script_string(out, frame_place(profile, frame, true));
		fputc(',', out);
		script_string(out, frame && profile->frames[frame].module
					   ? profile->modules[profile->frames[frame].module].name
					   : "");
		fputc(']', out);
	}
	fputs("],\n", out);
}

/* One flat array: a tree as nested arrays would be deeper than a browser's parser goes. A caller
 * stands before those it calls. */
static void write_nodes(FILE *out, const struct tree *tree, const bool *drawn,
			const uint32_t *numbers)
{
	uint32_t *places = must_alloc(tree->count * sizeof(*places));
	uint32_t *callers = must_alloc(tree->count * sizeof(*callers));
	uint32_t *waiting = must_alloc(tree->count * sizeof(*waiting));
	uint32_t left = 0, written = 0;

	fputs("nodes:[", out);
	waiting[left++] = 0;
	while (left) {
		uint32_t node = waiting[--left];

		places[node] = written++;
		fprintf(out, "%s[%u,%u", node ? ",\n" : "", node ? places[callers[node]] : 0,
			node ? numbers[tree->nodes[node].label] : 0);
		for (size_t i = 0; i < measure_count; i++)
			fprintf(out, ",%s",
				format_plain(tree->nodes[node].values[measures[i].metric]));
		fputc(']', out);
		for (uint32_t child = tree->nodes[node].first_child; child;
		     child = tree->nodes[child].next)
			if (drawn[child]) {
				callers[child] = node;
				waiting[left++] = child;
			}
	}
	fputs("]", out);
	free(places);
	free(callers);
	free(waiting);
}

static void html_text(FILE *out, const char *text)
{
	while (*text) {
		size_t length = strcspn(text, "<&");

		text_write(out, text, length, true);
		text += length;
		if (*text)
			fputs(*text++ == '<' ? "&lt;" : "&amp;", out);
	}
}

static void write_page(FILE *out, const struct run *run, const struct profile *profile,
		       const struct tree *tree, int first)
{
	bool *drawn = must_alloc(tree->count);
	uint32_t *numbers = must_alloc((intern_count(tree->labels) + 1) * sizeof(*numbers));
	char *title = must_print("heaptape run %s%s%s%s: %s", format_plain(run->run_id),
				 *run->label ? " '" : "", run->label, *run->label ? "'" : "",
				 run->command);
	char *subtitle =
		must_print("%s · %s, %s · peak %s · still live %s", format_when(run->started_at),
			   format_plural(run->allocations, "allocation", "allocations"),
			   format_bytes(run->allocated_bytes), format_bytes(run->peak_bytes),
			   format_bytes(run->live_bytes));

	for (uint32_t node = 0; node < tree->count; node++)
		drawn[node] = worth_drawing(tree, node);
	fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>",
	      out);
	html_text(out, title);
	fputs("</title>\n</head>\n<body>\n<noscript>This page draws its graph with JavaScript."
	      "</noscript>\n<script>\nwindow.heaptape = {title:",
	      out);
	script_string(out, title);
	fputs(",subtitle:", out);
	script_string(out, subtitle);
	fprintf(out, ",first:%d,metrics:[", first);
	for (size_t i = 0; i < measure_count; i++)
		fprintf(out, "%s{name:\"%s\",unit:\"%s\"}", i ? "," : "", measures[i].title,
			measures[i].unit);
	fputs("],\n", out);
	write_frames(out, profile, tree, drawn, numbers);
	write_nodes(out, tree, drawn, numbers);
	fputs("};\n</script>\n<script>\n", out);
	fwrite(asset_flame_js, 1, asset_flame_js_bytes(), out);
	fputs("\n</script>\n</body>\n</html>\n", out);
	free(title);
	free(subtitle);
	free(drawn);
	free(numbers);
}

static int flame_main(int argc, char **argv)
{
	struct tree_options how = { .whole = true, .all = true };
	int first = measure_find(options.of);
	struct profile profile;
	struct tree tree;
	struct run run;
	char *path;
	FILE *out;
	sqlite3 *db;

	if (argc > 1)
		return usage_error("flame", "'%s' is one argument too many", argv[1]);
	if (first < 0)
		return usage_error("flame", "--of is " MEASURE_NAMES ", not '%s'", options.of);
	if (!asset_flame_js_bytes()) {
		complain("this heaptape was built without the page's script: npm was missing. "
			 "'heaptape export --format speedscope' gives the same for "
			 "https://speedscope.app");
		return STATUS_FAILED;
	}
	db = db_open();
	db_snapshot(db);
	run_load(db, run_select(db, argc ? argv[0] : NULL), &run);
	how.sort = measures[first].metric;
	profile_load(db, &run, run_process(db, &run, options.pid), &profile);
	filter_apply(&profile);
	if (!profile.total_count)
		die("run %s has no allocations to draw", format_plain(run.run_id));
	tree_build(&profile, &how, &tree);
	path = options.output ? must_copy(options.output)
			      : must_print("heaptape-%s.html", format_plain(run.run_id));
	out = output_open(path);
	write_page(out, &run, &profile, &tree, first);
	output_close(out, path);
	if (out != stdout)
		complain("wrote '%s' (%s of run %s); open it in a browser", path,
			 measures[first].title, format_plain(run.run_id));
	free(path);
	tree_release(&tree);
	profile_release(&profile);
	run_release(&run);
	db_close(db);
	return STATUS_DONE;
}

const struct command command_flame = {
	.name = "flame",
	.arguments = "[RUN]",
	.summary = "a flame graph: one HTML page that opens from disk",
	.details = "Boxes are functions, widths are what they allocated together with what they "
		   "called.\n"
		   "Click to zoom, / to search; the page can switch between what is allocated, "
		   "live at\n"
		   "the peak, leaked and temporary. It needs no network and no other file.",
	.options = rows,
	.main = flame_main,
};
