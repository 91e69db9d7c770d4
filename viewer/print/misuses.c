#include "viewer/print/misuses.h"

#include <stdlib.h>
#include <string.h>

#include "proto/event.h"
#include "viewer/model/frame.h"
#include "viewer/model/misuses.h"
#include "viewer/print/format.h"
#include "viewer/print/stack.h"
#include "viewer/print/table.h"

static bool is_kind(const struct misuse_row *misuse, enum misuse_kind kind)
{
	return strcmp(misuse->kind, misuse_kind_name(kind)) == 0;
}

static void print_stack(FILE *out, const struct profile *profile, const char *title,
			int64_t stack_id)
{
	char *lines;

	if (!stack_id)
		return;
	fprintf(out, "    %s%s%s\n", style_on(out, STYLE_DIM), title, style_on(out, STYLE_OFF));
	lines = stack_lines(profile, profile_stack(profile, stack_id), 6, terminal_width(stdout));
	fputs(lines, out);
	free(lines);
}

static void print_misuse(FILE *out, const struct profile *profile, const struct run *run,
			 const struct misuse_row *misuse)
{
	fprintf(out, "  %s%s%s: %s\n", style_on(out, STYLE_WARN), misuse->kind,
		style_on(out, STYLE_OFF), misuse->text);
	fprintf(out, "    %s into the run", format_duration(misuse->at_ns));
	if (misuse->thread && misuse->thread != UNKNOWN)
		fprintf(out, ", by thread %s", format_plain(misuse->thread));
	if (run->processes > 1)
		fprintf(out, " of process %s", format_plain(misuse->pid));
	fputc('\n', out);
	print_stack(out, profile, "allocated at", misuse->allocated_stack_id);
	print_stack(out, profile, "freed at", misuse->freed_stack_id);
	if ((is_kind(misuse, MISUSE_DOUBLE_FREE) || is_kind(misuse, MISUSE_FREED)) &&
	    !misuse->freed_stack_id)
		fprintf(out, "    %sfreed where heaptape run --free-stacks would show%s\n",
			style_on(out, STYLE_DIM), style_on(out, STYLE_OFF));
	print_stack(out, profile,
		    is_kind(misuse, MISUSE_DOUBLE_FREE) ? "freed again at"
		    : is_kind(misuse, MISUSE_OVERFLOW) || is_kind(misuse, MISUSE_WRITTEN)
			    ? "noticed at"
			    : "misused at",
		    misuse->stack_id);
}

int misuses_print(FILE *out, struct db *db, const struct run *run, const struct profile *profile,
		  int64_t most, struct error *error)
{
	struct misuse_row misuse;
	struct rows rows;
	int64_t count;
	int result = misuses_count(db, run, &count, error);

	if (result || !count)
		return result;
	fprintf(out, "\n%sMisuse of the heap%s\n", style_on(out, STYLE_BOLD),
		style_on(out, STYLE_OFF));
	result = misuses_open(&rows, db, run, most, error);
	while (!result && (result = rows_next(&rows, &misuse, error)) > 0) {
		print_misuse(out, profile, run, &misuse);
		result = 0;
	}
	if (!result && count > most)
		fprintf(out, "  ... and %s more; the table 'misuses' has them all\n",
			format_count(count - most));
	return result;
}

static void json_stack(struct json *json, const struct profile *profile, const char *key,
		       int64_t stack_id)
{
	uint32_t frames[PROFILE_DEPTH_MAX];
	size_t count;

	if (!stack_id) {
		json_null(json, key);
		return;
	}
	json_array(json, key);
	count = profile_frames(profile, profile_stack(profile, stack_id), frames,
			       PROFILE_DEPTH_MAX);
	for (size_t i = 0; i < count; i++) {
		char *text = frame_text(profile, frames[i]);

		json_text(json, NULL, text);
		free(text);
	}
	json_end(json);
}

static const struct column json_columns[] = {
	{ .name = "kind" },	     { .name = "text" },       { .name = "pid" },
	{ .name = "at_ns" },	     { .name = "thread" },     { .name = "address" },
	{ .name = "block_address" }, { .name = "size_bytes" },
};

int misuses_json(struct json *json, struct db *db, const struct run *run,
		 const struct profile *profile, struct error *error)
{
	struct rows rows = { 0 };
	struct misuse_row misuse;
	int64_t count = 0;
	int result = misuses_count(db, run, &count, error);

	json_array(json, "misuses");
	if (!result && count)
		result = misuses_open(&rows, db, run, INT64_MAX, error);
	while (!result && count && (result = rows_next(&rows, &misuse, error)) > 0) {
		json_object(json, NULL);
		columns_json(json_columns, sizeof(json_columns) / sizeof(*json_columns),
			     misuse_fields, &misuse, json);
		json_stack(json, profile, "allocated_at", misuse.allocated_stack_id);
		json_stack(json, profile, "freed_at", misuse.freed_stack_id);
		json_stack(json, profile, "misused_at", misuse.stack_id);
		json_end(json);
		result = 0;
	}
	json_end(json);
	return result;
}
