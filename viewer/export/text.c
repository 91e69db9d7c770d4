#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/model/frame.h"
#include "viewer/export/export.h"
#include "viewer/print/format.h"
#include "viewer/print/json.h"
#include "viewer/model/tree.h"

/* ';' parts frames, a line break ends the stack. */
static void folded_name(FILE *out, const char *name)
{
	for (; *name; name++)
		fputc(*name == ';' ? ':' : *name == '\n' || *name == '\r' ? ' ' : *name, out);
}

struct folded {
	FILE *out;
	const struct tree *tree;
	enum metric metric;
	uint32_t path[PROFILE_DEPTH_MAX];
};

/* The node's own share is what its children do not have. */
static void folded_node(struct folded *folded, uint32_t node, size_t depth)
{
	const struct tree_node *nodes = folded->tree->nodes;
	int64_t own = nodes[node].values[folded->metric];

	for (uint32_t child = nodes[node].first_child; child; child = nodes[child].next)
		own -= nodes[child].values[folded->metric];
	if (own > 0 && depth) {
		for (size_t i = 0; i < depth; i++) {
			if (i)
				fputc(';', folded->out);
			folded_name(folded->out, tree_label(folded->tree, folded->path[i]));
		}
		fprintf(folded->out, " %s\n", format_plain(own));
	}
	for (uint32_t child = nodes[node].first_child; child; child = nodes[child].next) {
		folded->path[depth] = child;
		folded_node(folded, child, depth + 1);
	}
}

void export_folded(FILE *out, const struct run *run, const struct profile *profile,
		   const struct measure *measure)
{
	struct tree_options how = { .whole = true, .sort = measure->metric };
	struct folded folded = { .out = out, .metric = measure->metric };
	struct tree tree;

	(void)run;
	tree_build(profile, &how, &tree);
	tree_sort(&tree);
	folded.tree = &tree;
	folded_node(&folded, 0, 0);
	tree_release(&tree);
}

static void speedscope_frames(struct json *json, const struct profile *profile)
{
	json_object(json, "shared");
	json_array(json, "frames");
	/* Entry 0 is the unknown stack; the others keep their ids, so that samples can name them. */
	for (size_t i = 0; i < profile->frame_count; i++) {
		const struct frame *frame = &profile->frames[i];

		json_object(json, NULL);
		json_one_line(json);
		json_text(json, "name", frame_name(profile, (uint32_t)i));
		if (frame->file)
			json_text(json, "file", frame->file);
		if (frame->file && frame->line > 0)
			json_number(json, "line", frame->line);
		json_end(json);
	}
	json_end(json);
	json_end(json);
}

static void speedscope_profile(struct json *json, const struct profile *profile,
			       const struct measure *measure)
{
	uint32_t frames[PROFILE_DEPTH_MAX];

	json_object(json, NULL);
	json_text(json, "type", "sampled");
	json_text(json, "name", measure->title);
	json_text(json, "unit", strcmp(measure->unit, "bytes") == 0 ? "bytes" : "none");
	json_number(json, "startValue", 0);
	json_number(json, "endValue", profile->sums[measure->metric]);
	json_array(json, "samples");
	for (size_t i = 0; i < profile->total_count; i++) {
		const struct total *total = &profile->totals[i];
		size_t count;

		if (total->values[measure->metric] <= 0)
			continue;
		count = profile_frames(profile, total->stack, frames, PROFILE_DEPTH_MAX);
		if (!count)
			frames[count++] = 0;
		json_array(json, NULL);
		json_one_line(json);
		while (count--)
			json_number(json, NULL, frames[count]);
		json_end(json);
	}
	json_end(json);
	json_array(json, "weights");
	json_one_line(json);
	for (size_t i = 0; i < profile->total_count; i++)
		if (profile->totals[i].values[measure->metric] > 0)
			json_number(json, NULL, profile->totals[i].values[measure->metric]);
	json_end(json);
	json_end(json);
}

void export_speedscope(FILE *out, const struct run *run, const struct profile *profile,
		       const struct measure *measure)
{
	struct json json;

	json_init(&json, out);
	json_object(&json, NULL);
	json_text(&json, "$schema", "https://www.speedscope.app/file-format-schema.json");
	json_text(&json, "name", run->command);
	json_text(&json, "exporter", "heaptape " HEAPTAPE_VERSION);
	json_number(&json, "activeProfileIndex", measure - measures);
	speedscope_frames(&json, profile);
	json_array(&json, "profiles");
	for (size_t i = 0; i < measure_count; i++)
		speedscope_profile(&json, profile, &measures[i]);
	json_end(&json);
	json_end(&json);
}
