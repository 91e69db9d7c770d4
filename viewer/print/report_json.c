#include "viewer/print/report_json.h"

#include "viewer/model/lists.h"
#include "viewer/print/json.h"
#include "viewer/print/misuses.h"
#include "viewer/print/report_tables.h"

/* Of run_fields. */
static const struct column run_columns[] = {
	{ .name = "run_id" },
	{ .name = "label" },
	{ .name = "command" },
	{ .name = "cwd" },
	{ .name = "host" },
	{ .name = "state" },
	{ .name = "version" },
	{ .name = "settings" },
	{ .name = "started_at" },
	{ .name = "ended_at" },
	{ .name = "duration_ns" },
	{ .name = "exit_code" },
	{ .name = "exit_signal" },
	{ .name = "user_ns" },
	{ .name = "system_ns" },
	{ .name = "max_rss_bytes" },
	{ .name = "processes" },
	{ .name = "unrecorded_processes" },
	{ .name = "events" },
	{ .name = "lost_events" },
	{ .name = "late_events" },
	{ .name = "foreign_frees" },
	{ .name = "foreign_symbols" },
	{ .name = "cut_stacks" },
	{ .name = "wait_ns" },
	{ .name = "stored_bytes" },
	{ .name = "allocations" },
	{ .name = "allocated_bytes" },
	{ .name = "frees" },
	{ .name = "freed_bytes" },
	{ .name = "reallocations" },
	{ .name = "failed" },
	{ .name = "temporary" },
	{ .name = "preexisting_frees" },
	{ .name = "inherited_frees" },
	{ .name = "live_blocks" },
	{ .name = "live_bytes" },
	{ .name = "peak_process_id" },
	{ .name = "peak_blocks" },
	{ .name = "peak_bytes" },
	{ .name = "peak_ns" },
	{ .name = "peak_held_bytes" },
	{ .name = "peak_rss_bytes" },
};

static void json_run(struct json *json, const struct run *run)
{
	json_object(json, "run");
	columns_json(run_columns, sizeof(run_columns) / sizeof(*run_columns), run_fields, run,
		     json);
	json_end(json);
}

/* The run's live numbers have all; the sites' have `leaked`. */
static void json_kept(struct json *json, const struct run *run, const struct suppressed *kept)
{
	json_object(json, "leaked");
	json_one_line(json);
	json_number(json, "live_blocks", run->live_blocks - kept->blocks);
	json_number(json, "live_bytes", run->live_bytes - kept->bytes);
	json_end(json);
	json_object(json, "kept_by_libraries");
	json_one_line(json);
	json_number(json, "live_blocks", kept->blocks);
	json_number(json, "live_bytes", kept->bytes);
	json_end(json);
}

static int sizes_of(struct db *db, const struct run *run, int64_t most, struct table **ret_table,
		    struct error *error)
{
	(void)most;
	return sizes_table(db, run, ret_table, error);
}

static int stack_cuts_of(struct db *db, const struct run *run, int64_t most,
			 struct table **ret_table, struct error *error)
{
	(void)most;
	return stack_cuts_table(db, run, ret_table, error);
}

static const struct {
	const char *key;
	int (*make)(struct db *db, const struct run *run, int64_t most, struct table **ret_table,
		    struct error *error);
} sections[] = {
	{ "processes", processes_table }, { "threads", threads_table }, { "sizes", sizes_of },
	{ "stack_cuts", stack_cuts_of },  { "gaps", gaps_table },
};

static int json_sections(struct json *json, struct db *db, const struct run *run,
			 struct error *error)
{
	int result = 0;

	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections) && !result; i++) {
		struct table *table;

		result = sections[i].make(db, run, 0, &table, error);
		if (result)
			return result;
		table_json(table, json, sections[i].key);
		table_free(table);
	}
	return result;
}

static int json_notes(struct json *json, struct db *db, const struct run *run, struct error *error)
{
	struct note_row note;
	struct rows rows;
	int result = notes_open(&rows, db, run, 0, error);

	if (result)
		return result;
	json_array(json, "notes");
	while ((result = rows_next(&rows, &note, error)) > 0)
		json_text(json, NULL, note.text);
	json_end(json);
	return result;
}

int report_json(FILE *out, struct db *db, const struct run *run, const struct profile *profile,
		const struct site *sites, size_t count, const struct suppressed *kept,
		struct error *error)
{
	struct table *table;
	struct json json;
	int result;

	json_init(&json, out);
	json_object(&json, NULL);
	json_run(&json, run);
	json_kept(&json, run, kept);
	result = json_sections(&json, db, run, error);
	if (result)
		return result;
	table = sites_table(profile, sites, count);
	table_json(table, &json, "sites");
	table_free(table);
	result = misuses_json(&json, db, run, profile, error);
	if (!result)
		result = json_notes(&json, db, run, error);
	if (!result)
		json_end(&json);
	return result;
}
