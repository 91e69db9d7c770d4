/*
 * Questions to the virtual tables: whatever a WHERE clause asks, they answer as plain tables with
 * the same rows do. The input's first bytes are read as a question, byte by byte: the table, the
 * columns that are compared and how, and the order; those after them are the values to compare with.
 * Questions that were asked are kept prepared, as most inputs differ from another in their values
 * only. What follows a first byte of 255 is the name of a run, of which the command must find one or
 * none.
 */
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "proto/event.h"
#include "proto/store.h"
#include "tests/fuzz/quick_sqlite.h"
#include "tests/fuzz/sql_value.h"
#include "viewer/model/run.h"
#include "viewer/sqlite/heaptape_sqlite.h"

#define PROCESSES 3
#define EVENTS 20u
#define CHUNK_EVENTS 10u
#define RESUMES 3u  /* the process that was not recorded for a while */
#define RESUMED 10u /* its event that says so */
#define KEPT_QUESTIONS 2048u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static sqlite3 *db;

static void must(const char *sql)
{
	char *why = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
		fprintf(stderr, "%s: %s\n", sql, why);
		abort();
	}
}

/* What the third process says as recording is switched on again: the gap's end, blocks that are still
 * there, and one that nobody has heard of. Those not listed are gone. */
static bool resume_row(struct event_row *row, const struct event_row *rows, unsigned i)
{
	const struct event_row *kept = i == RESUMED + 1 ? &rows[6] : &rows[8];

	if (i < RESUMED || i > RESUMED + 4 || i == RESUMED + 3)
		return false;
	if (i == RESUMED) {
		row->kind = EVENT_RESUME;
		row->allocated_at_ns = rows[i - 1].at_ns;
		return true;
	}
	row->kind = EVENT_LIVE;
	if (i == RESUMED + 4)
		return true;
	row->address = row->old_address = kept->address;
	row->size_bytes = row->old_size_bytes = kept->size_bytes;
	row->old_usable_bytes = 64;
	row->stack_id = row->old_stack_id = kept->stack_id;
	row->allocated_at_ns = kept->at_ns;
	row->allocated_by = kept->thread;
	return true;
}

/* Blocks that come and go, reallocs, pages; everything small, so that constraints meet. */
static void make_rows(struct event_row *rows, unsigned process)
{
	uint64_t seq[4] = { 0 };

	for (unsigned i = 0; i < EVENTS; i++) {
		struct event_row *row = &rows[i], *old = i >= 7 ? &rows[i - 7] : NULL;

		*row = (struct event_row){ .at_ns = 100 * i / 3 + process,
					   .thread = 1 + i * 7 % 3,
					   .kind = EVENT_MALLOC,
					   .address = 4096 + 16 * (i * 5 % 64),
					   .size_bytes = i * 11 % 50,
					   .usable_bytes = 64,
					   .stack_id = 1 + i * 3 % 20 };
		row->seq = seq[row->thread]++;
		if (i % 5 == 1)
			row->kind = EVENT_CALLOC;
		if (process == RESUMES && resume_row(row, rows, i))
			continue;
		if (i == 0 || i == 2) {
			row->kind = EVENT_BY_ALLOCATOR | (i ? EVENT_SPAN : EVENT_SBRK);
			row->address = 4096;
			row->size_bytes = i ? 4096 : 32768;
			row->old_address = i ? 0 : 4096 + 32768;
		} else if (old && i % 2 && event_is_block(old->kind) && old->kind != EVENT_FREE) {
			bool unknown = old->kind == EVENT_LIVE && !old->old_address;

			row->kind = i % 3 ? EVENT_FREE : EVENT_REALLOC;
			row->allocated_at_ns = old->kind == EVENT_LIVE && !unknown
						       ? old->allocated_at_ns
						       : old->at_ns;
			row->allocated_by = unknown ? 0 : old->thread;
			if (i % 3) {
				row->address = old->address;
				row->size_bytes = old->size_bytes;
				row->stack_id = old->stack_id;
			} else {
				row->old_address = old->address;
				row->old_size_bytes = old->size_bytes;
				row->old_usable_bytes = 64;
				row->old_stack_id = old->stack_id;
			}
		}
	}
}

static void put_process(unsigned process, struct chunk_writer *writer, struct chunk_press *press)
{
	static struct event_row rows[EVENTS];
	struct chunk_bounds bounds;
	struct statement insert = { 0 };
	const void *blob;
	size_t bytes;
	char sql[600];

	snprintf(sql, sizeof(sql),
		 "INSERT OR IGNORE INTO runs(run_id, label, command, started_at, state, version) "
		 "VALUES (%u, 'l%u', 'x', 0, 'complete', '1');"
		 "INSERT INTO processes(process_id, run_id, pid, executable, command, started_ns,"
		 " ending, events) VALUES (%u, %u, 1, 'x', 'x', 0, 'exited', %u);"
		 "INSERT INTO threads(thread_id, process_id, number, tid, started_ns) VALUES"
		 " (%u, %u, 1, 1, 0), (%u, %u, 2, 2, 0), (%u, %u, 3, 3, 0)",
		 1 + process / 2, 1 + process / 2, process, 1 + process / 2, EVENTS,
		 process * 10 + 1, process, process * 10 + 2, process, process * 10 + 3, process);
	must(sql);
	make_rows(rows, process);
	if (process == RESUMES) {
		snprintf(sql, sizeof(sql),
			 "INSERT INTO gaps(process_id, from_ns, to_ns) VALUES(%u, %u, %u)", process,
			 (unsigned)rows[RESUMED - 1].at_ns, (unsigned)rows[RESUMED].at_ns);
		must(sql);
	} else { /* late events: two chunks overlap in time */
		struct event_row late = rows[CHUNK_EVENTS];

		rows[CHUNK_EVENTS] = rows[CHUNK_EVENTS - 1];
		rows[CHUNK_EVENTS - 1] = late;
	}
	for (unsigned i = 0; i < EVENTS; i++) {
		if (chunk_writer_add(writer, &rows[i]) != 0)
			abort();
		if ((i + 1) % CHUNK_EVENTS)
			continue;
		if (chunk_writer_finish(writer, press, &blob, &bytes, &bounds) != 0 ||
		    store_put_chunk(db, &insert, process, blob, bytes, &bounds, NULL) != 0)
			abort();
	}
	statement_release(&insert);
}

static void make(void)
{
	struct chunk_writer *writer = chunk_writer_new();
	struct chunk_press *press = chunk_press_new();
	struct store_error error;

	quick_sqlite();
	if (store_open(":memory:", STORE_CREATE, &db, &error) != 0 ||
	    heaptape_sqlite_register(db) != SQLITE_OK)
		abort();
	for (unsigned process = 1; process <= PROCESSES; process++)
		put_process(process, writer, press);
	chunk_writer_free(writer);
	chunk_press_free(press);
	must("CREATE TEMP TABLE plain_events AS SELECT * FROM events;"
	     "CREATE TEMP TABLE plain_allocations AS SELECT * FROM allocations;"
	     "INSERT INTO frames(frame_id, module_id, offset) SELECT value, 0, value FROM"
	     " (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 20)"
	     "  SELECT value FROM n);"
	     "INSERT INTO stacks(stack_id, parent_stack_id, frame_id, depth)"
	     " SELECT frame_id, frame_id / 2, frame_id, 1 FROM frames");
}

static const char *const event_columns[] = {
	"run_id",      "process_id",	  "thread_id",	"seq",		 "at_ns",
	"kind",	       "address",	  "size_bytes", "usable_bytes",	 "stack_id",
	"old_address", "allocated_at_ns", "origin",	"free_stack_id", "allocated_by_thread_id",
	"old_stack_id"
};
static const char *const allocation_columns[] = {
	"run_id",	  "process_id",	  "thread_id",	       "address",     "size_bytes",
	"usable_bytes",	  "stack_id",	  "allocated_at_ns",   "freed_at_ns", "lifetime_ns",
	"freed_stack_id", "listed_at_ns", "freed_by_thread_id"
};

static void put_condition(sqlite3_str *sql, struct input *input, const char *column)
{
	static const char *const compare[] = { "=",  "<",  "<=",     ">",    ">=",
					       "<>", "IS", "IS NOT", "LIKE", "GLOB" };
	unsigned how = take(input) % 16;

	sqlite3_str_appendall(sql, column);
	if (how < 10) {
		sqlite3_str_appendf(sql, " %s ?", compare[how]);
	} else if (how == 10) {
		sqlite3_str_appendall(sql, " ISNULL");
	} else if (how == 11) {
		sqlite3_str_appendall(sql, " NOTNULL");
	} else if (how == 12) {
		sqlite3_str_appendall(sql, " BETWEEN ? AND ?");
	} else if (how == 13) {
		sqlite3_str_appendall(sql, " IN (?");
		for (unsigned more = take(input) % 4; more; more--)
			sqlite3_str_appendall(sql, ", ?");
		sqlite3_str_appendall(sql, ")");
	} else if (how == 14) {
		sqlite3_str_appendall(sql, " = ? COLLATE NOCASE");
	} else {
		sqlite3_str_appendf(sql,
				    " IN (SELECT stack_id FROM stacks WHERE stack_id > ? LIMIT 4)");
	}
}

/* `%s` stands for what is before the table's name. */
static char *question(struct input *input)
{
	bool events = take(input) % 3 != 0;
	const char *const *columns = events ? event_columns : allocation_columns;
	unsigned count = events ? 16 : 13, form = take(input);
	const char *time = events ? "at_ns" : "allocated_at_ns";
	sqlite3_str *sql = sqlite3_str_new(db);

	sqlite3_str_appendf(sql,
			    "SELECT count(*), total(size_bytes), total(address), total(%s), "
			    "group_concat(%s) FROM (SELECT * FROM %%s%s ",
			    time, form % 4 ? time : "NULL", events ? "events" : "allocations");
	if (form % 8 == 5)
		sqlite3_str_appendall(sql, "JOIN (SELECT DISTINCT process_id FROM processes WHERE "
					   "run_id = 1) USING (process_id) ");
	for (unsigned i = 0, n = 1 + take(input) % 4; i < n; i++) {
		sqlite3_str_appendall(sql, i == 0 ? "WHERE " : take(input) % 8 ? " AND " : " OR ");
		put_condition(sql, input, columns[take(input) % count]);
	}
	/* Without all of these an order has ties, which may come either way. */
	if (form % 4)
		sqlite3_str_appendf(sql, " ORDER BY %s%s", time, form & 64 ? " DESC" : "");
	sqlite3_str_appendall(sql, ")");
	return sqlite3_str_finish(sql);
}

struct kept {
	char *sql;
	sqlite3_stmt *statement, *plain;
};

static sqlite3_stmt *prepare(const char *format, const char *prefix)
{
	char *sql = sqlite3_mprintf(format, prefix);
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) {
		fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
		abort();
	}
	sqlite3_free(sql);
	return statement;
}

/* The question prepared; takes over its text. */
static struct kept *keep(char *sql)
{
	static struct kept kept[KEPT_QUESTIONS];
	uint32_t hash = 0;
	struct kept *place;

	for (const char *at = sql; *at; at++)
		hash = (hash ^ (uint8_t)*at) * 0x01000193u;
	place = &kept[(hash ^ hash >> 16) % KEPT_QUESTIONS];
	if (place->sql && !strcmp(place->sql, sql)) {
		sqlite3_free(sql);
		return place;
	}
	sqlite3_finalize(place->statement);
	sqlite3_finalize(place->plain);
	sqlite3_free(place->sql);
	place->sql = sql;
	place->statement = prepare(sql, "");
	place->plain = strstr(sql, "%s") ? prepare(sql, "plain_") : NULL;
	return place;
}

static void bind(sqlite3_stmt *statement, struct input input)
{
	for (int i = 1; i <= sqlite3_bind_parameter_count(statement); i++)
		bind_value(statement, i, &input);
}

static bool same(sqlite3_stmt *got, sqlite3_stmt *expected)
{
	for (int i = 0; i < sqlite3_column_count(expected); i++) {
		int bytes = sqlite3_column_bytes(expected, i);

		if (sqlite3_column_type(got, i) != sqlite3_column_type(expected, i) ||
		    sqlite3_column_bytes(got, i) != bytes ||
		    (bytes && memcmp(sqlite3_column_blob(got, i), sqlite3_column_blob(expected, i),
				     (size_t)bytes) != 0))
			return false;
	}
	return true;
}

static void print(sqlite3_stmt *statement, int result)
{
	char *sql = sqlite3_expanded_sql(statement);

	fprintf(stderr, "%s\n  %d", sql, result);
	for (int i = 0; result == SQLITE_ROW && i < sqlite3_column_count(statement); i++)
		fprintf(stderr, " %s", (const char *)sqlite3_column_text(statement, i));
	fprintf(stderr, "\n");
	sqlite3_free(sql);
}

static void compare(struct input *input)
{
	struct kept *asked = keep(question(input));
	int got, expected;

	bind(asked->statement, *input);
	bind(asked->plain, *input);
	got = sqlite3_step(asked->statement);
	expected = sqlite3_step(asked->plain);
	if (got != expected || (got == SQLITE_ROW && !same(asked->statement, asked->plain))) {
		print(asked->statement, got);
		print(asked->plain, expected);
		abort();
	}
	sqlite3_reset(asked->statement);
	sqlite3_reset(asked->plain);
}

/* Only that it answers: there is no plain table of pages, nor another stack_text. */
static void ask_others(struct input *input)
{
	static const char *const questions[] = {
		"SELECT count(stack_text(?))",
		"SELECT count(stack_text(?, ?))",
		"SELECT count(*), total(live_bytes) FROM pages(?)",
		"SELECT count(*), total(live_bytes) FROM pages(?, ?)",
	};
	struct kept *asked = keep(sqlite3_mprintf("%s", questions[take(input) % 4]));

	bind(asked->statement, *input);
	sqlite3_step(asked->statement);
	sqlite3_reset(asked->statement);
}

static void find_run(struct input *input)
{
	size_t bytes = (size_t)(input->end - input->at);
	char *name = malloc(bytes + 1);
	struct db asked = { db, (char *)"memory" };
	struct error error;
	int64_t run_id;

	memcpy(name, input->at, bytes);
	name[bytes] = '\0';
	if (run_find(&asked, name, &run_id, &error) || run_id < 0 || run_id > 2)
		abort();
	free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = { data, data + bytes };
	unsigned what;

	if (!db)
		make();
	what = take(&input);
	if (what == 0xff)
		find_run(&input);
	else if (what % 8 == 7)
		ask_others(&input);
	else
		compare(&input);
	return 0;
}
