#include "viewer/model/misuses.h"

#include <stdlib.h>
#include <string.h>

#include "proto/event.h"
#include "viewer/command/cli.h"
#include "viewer/model/db.h"
#include "viewer/print/format.h"

int64_t misuses_count(sqlite3 *db, const struct run *run)
{
	if (!db_has_table(db, "misuses"))
		return 0;
	return db_number(db,
			 "SELECT count(*) FROM misuses WHERE process_id IN "
			 "(SELECT process_id FROM processes WHERE run_id = ?)",
			 "i", run->run_id);
}

enum misuse_column {
	COLUMN_PID,
	COLUMN_AT_NS,
	COLUMN_THREAD,
	COLUMN_KIND,
	COLUMN_ADDRESS,
	COLUMN_BLOCK,
	COLUMN_SIZE,
	COLUMN_ALLOCATED,
	COLUMN_FREED,
	COLUMN_STACK,
	COLUMN_TEXT
};

static sqlite3_stmt *misuses_of(sqlite3 *db, const struct run *run, int64_t most)
{
	return db_query(db,
			"SELECT pid, at_ns, thread, kind, address, block_address, size_bytes, "
			"allocated_stack_id, freed_stack_id, stack_id, text "
			"FROM misuses JOIN processes USING (process_id) WHERE run_id = ?1 "
			"ORDER BY at_ns, misuses.rowid LIMIT ?2",
			"ii", run->run_id, most);
}

static bool is_kind(sqlite3_stmt *misuse, enum misuse_kind kind)
{
	return strcmp(column_string(misuse, COLUMN_KIND), misuse_kind_name(kind)) == 0;
}

static void print_stack(FILE *out, const struct profile *profile, const char *title,
			sqlite3_stmt *misuse, int column)
{
	char *lines;

	if (!column_number(misuse, column, 0))
		return;
	fprintf(out, "    %s%s%s\n", style_on(out, STYLE_DIM), title, style_on(out, STYLE_OFF));
	lines = stack_lines(profile, (uint32_t)column_number(misuse, column, 0), 6);
	fputs(lines, out);
	free(lines);
}

static void print_misuse(FILE *out, const struct profile *profile, const struct run *run,
			 sqlite3_stmt *misuse)
{
	int64_t pid = column_number(misuse, COLUMN_PID, 0);

	fprintf(out, "  %s%s%s: %s\n", style_on(out, STYLE_WARN),
		column_string(misuse, COLUMN_KIND), style_on(out, STYLE_OFF),
		column_string(misuse, COLUMN_TEXT));
	fprintf(out, "    %s into the run",
		format_duration(column_number(misuse, COLUMN_AT_NS, 0)));
	if (column_number(misuse, COLUMN_THREAD, 0))
		fprintf(out, ", by thread %s",
			format_plain(column_number(misuse, COLUMN_THREAD, 0)));
	if (run->processes > 1)
		fprintf(out, " of process %s", format_plain(pid));
	fputc('\n', out);
	print_stack(out, profile, "allocated at", misuse, COLUMN_ALLOCATED);
	print_stack(out, profile, "freed at", misuse, COLUMN_FREED);
	if ((is_kind(misuse, MISUSE_DOUBLE_FREE) || is_kind(misuse, MISUSE_FREED)) &&
	    !column_number(misuse, COLUMN_FREED, 0))
		fprintf(out, "    %sfreed where heaptape run --free-stacks would show%s\n",
			style_on(out, STYLE_DIM), style_on(out, STYLE_OFF));
	print_stack(out, profile,
		    is_kind(misuse, MISUSE_DOUBLE_FREE) ? "freed again at"
		    : is_kind(misuse, MISUSE_OVERFLOW) || is_kind(misuse, MISUSE_WRITTEN)
			    ? "noticed at"
			    : "misused at",
		    misuse, COLUMN_STACK);
}

void misuses_print(FILE *out, sqlite3 *db, const struct run *run, const struct profile *profile,
		   int64_t most)
{
	int64_t count = misuses_count(db, run);
	sqlite3_stmt *misuse;

	if (!count)
		return;
	fprintf(out, "\n%sMisuse of the heap%s\n", style_on(out, STYLE_BOLD),
		style_on(out, STYLE_OFF));
	misuse = misuses_of(db, run, most);
	while (db_next(misuse))
		print_misuse(out, profile, run, misuse);
	if (count > most)
		fprintf(out, "  ... and %s more; the table 'misuses' has them all\n",
			format_count(count - most));
}

static void json_stack(struct json *json, const struct profile *profile, const char *key,
		       int64_t stack)
{
	uint32_t frames[PROFILE_DEPTH_MAX];
	size_t count;

	if (!stack) {
		json_null(json, key);
		return;
	}
	json_array(json, key);
	count = profile_frames(profile, (uint32_t)stack, frames, PROFILE_DEPTH_MAX);
	for (size_t i = 0; i < count; i++) {
		char *text = frame_text(profile, frames[i]);

		json_text(json, NULL, text);
		free(text);
	}
	json_end(json);
}

static void json_number_or_null(struct json *json, const char *key, sqlite3_stmt *misuse,
				int column)
{
	if (sqlite3_column_type(misuse, column) == SQLITE_NULL)
		json_null(json, key);
	else
		json_number(json, key, sqlite3_column_int64(misuse, column));
}

void misuses_json(struct json *json, sqlite3 *db, const struct run *run,
		  const struct profile *profile)
{
	sqlite3_stmt *misuse;

	json_array(json, "misuses");
	misuse = misuses_count(db, run) ? misuses_of(db, run, INT64_MAX) : NULL;
	while (misuse && db_next(misuse)) {
		json_object(json, NULL);
		json_text(json, "kind", column_string(misuse, COLUMN_KIND));
		json_text(json, "text", column_string(misuse, COLUMN_TEXT));
		json_number(json, "pid", column_number(misuse, COLUMN_PID, 0));
		json_number(json, "at_ns", column_number(misuse, COLUMN_AT_NS, 0));
		json_number_or_null(json, "thread", misuse, COLUMN_THREAD);
		json_number_or_null(json, "address", misuse, COLUMN_ADDRESS);
		json_number_or_null(json, "block_address", misuse, COLUMN_BLOCK);
		json_number_or_null(json, "size_bytes", misuse, COLUMN_SIZE);
		json_stack(json, profile, "allocated_at",
			   column_number(misuse, COLUMN_ALLOCATED, 0));
		json_stack(json, profile, "freed_at", column_number(misuse, COLUMN_FREED, 0));
		json_stack(json, profile, "misused_at", column_number(misuse, COLUMN_STACK, 0));
		json_end(json);
	}
	json_end(json);
}
