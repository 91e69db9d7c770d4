#include "viewer/web/page.h"

#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/model/frame.h"
#include "viewer/model/metric.h"
#include "viewer/print/format.h"
#include "viewer/print/json.h"
#include "viewer/print/text.h"
#include "viewer/web/asset.h"

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
	FILE *memory = memory_stream(&quoted, &bytes);

	json_quote(memory, text, strlen(text));
	memory_stream_end(memory);
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
	uint32_t *places = memory_alloc(tree->count * sizeof(*places));
	uint32_t *callers = memory_alloc(tree->count * sizeof(*callers));
	uint32_t *waiting = memory_alloc(tree->count * sizeof(*waiting));
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

void page_write(FILE *out, const struct run *run, const struct profile *profile,
		const struct tree *tree, int first)
{
	bool *drawn = memory_alloc(tree->count);
	uint32_t *numbers = memory_alloc((intern_count(tree->labels) + 1) * sizeof(*numbers));
	char *title = memory_print("heaptape run %s%s%s%s: %s", format_plain(run->run_id),
				   *run->label ? " '" : "", run->label, *run->label ? "'" : "",
				   run->command);
	char *subtitle =
		memory_print("%s · %s, %s · peak %s · still live %s", format_when(run->started_at),
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
