/* The virtual tables answer as plain tables would, and open only the chunks they must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/store.h"
#include "viewer/sqlite/heaptape_sqlite.h"

static char folder[64];
static char path[128];
static sqlite3 *db;
static uint64_t seed;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static int setup(void **state)
{
	struct store_error error = { "" };

	(void)state;
	seed = 88172645463325252ull;
	snprintf(folder, sizeof(folder), "/tmp/heaptape-vtab-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/heaptape.db", folder);
	return store_open(path, STORE_CREATE, &db, &error) ||
	       heaptape_sqlite_register(db) != SQLITE_OK;
}

static int teardown(void **state)
{
	int left;

	(void)state;
	left = sqlite3_close(db); /* refused while a table still has statements */
	unlink(path);
	return rmdir(folder) || left != SQLITE_OK;
}

__attribute__((format(printf, 1, 2))) static int64_t number(const char *format, ...)
{
	sqlite3_stmt *statement = NULL;
	va_list args;
	int64_t value;
	char *sql;

	va_start(args, format);
	sql = sqlite3_vmprintf(format, args);
	va_end(args);
	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	if (sqlite3_step(statement) != SQLITE_ROW)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_free(sql);
	return value;
}

static void run_sql(const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

/* Chunks that a query opens; its value goes to *ret_value. */
static int64_t opened_by(const char *sql, int64_t *ret_value)
{
	int64_t before = number("SELECT heaptape_chunks_opened()");

	*ret_value = number("%s", sql);
	return number("SELECT heaptape_chunks_opened()") - before;
}

static void put_chunk(int64_t process_id, const struct event_row *rows, unsigned count)
{
	struct chunk_press *press = chunk_press_new();
	struct chunk_writer *writer = chunk_writer_new();
	struct chunk_bounds bounds;
	struct statement insert = { 0 };
	const void *blob;
	size_t bytes;

	for (unsigned i = 0; i < count; i++)
		assert_int_equal(chunk_writer_add(writer, &rows[i]), 0);
	assert_int_equal(chunk_writer_finish(writer, press, &blob, &bytes, &bounds), 0);
	assert_int_equal(store_put_chunk(db, &insert, process_id, blob, bytes, &bounds, NULL), 0);
	statement_release(&insert);
	chunk_writer_free(writer);
	chunk_press_free(press);
}

static void put_process(int64_t process_id, int64_t run_id, unsigned threads)
{
	char sql[400];

	snprintf(sql, sizeof(sql),
		 "INSERT OR IGNORE INTO runs(run_id, command, started_at, state, version) "
		 "VALUES (%lld, 'x', 0, 'complete', '1'); "
		 "INSERT INTO processes(process_id, run_id, pid, executable, command, started_ns, "
		 "ending, events) VALUES (%lld, %lld, 1, 'x', 'x', 0, 'exited', 1000)",
		 (long long)run_id, (long long)process_id, (long long)run_id);
	run_sql(sql);
	for (unsigned i = 1; i <= threads; i++) {
		snprintf(sql, sizeof(sql),
			 "INSERT INTO threads(thread_id, process_id, number, tid, started_ns) "
			 "VALUES (%lld, %lld, %u, %u, 0)",
			 (long long)(process_id * 100 + i), (long long)process_id, i, i);
		run_sql(sql);
	}
}

struct history {
	struct event_row *rows;
	unsigned count;
};

/* A process with `events` events from `start_ns` on, in chunks of 1000: of threads 1 and 2 in the
 * first half, 3 and 4 in the second; stacks and addresses grow with time. */
static struct history put_history(int64_t process_id, unsigned events, uint64_t start_ns)
{
	struct event_row *rows = calloc(events, sizeof(*rows));
	struct event_row live[300];
	uint64_t seq[5] = { 0 }, now = start_ns;
	unsigned lives = 0;

	assert_non_null(rows);
	for (unsigned i = 0; i < events; i++) {
		struct event_row *row = &rows[i];

		row->at_ns = now += 1 + next_random() % 20;
		row->thread = 1 + (uint32_t)(next_random() % 2) + (i >= events / 2 ? 2 : 0);
		row->seq = seq[row->thread]++;
		if (i % 997 == 0) {
			row->kind = EVENT_SBRK | EVENT_BY_ALLOCATOR;
			row->address = 0x100000 + i;
			row->size_bytes = (uint64_t)-4096;
			row->old_address = 0x100000 + i - 4096;
		} else if (lives == 300 || (lives && next_random() % 2)) {
			unsigned victim = (unsigned)(next_random() % lives);
			const struct event_row *block = &live[victim];

			row->kind = next_random() % 6 ? EVENT_FREE : EVENT_REALLOC;
			row->allocated_at_ns = block->at_ns;
			row->allocated_by = block->thread;
			row->address = block->address;
			row->size_bytes = block->size_bytes;
			row->usable_bytes = block->usable_bytes;
			row->stack_id = block->stack_id;
			if (row->kind == EVENT_REALLOC) {
				row->old_address = row->address;
				row->old_size_bytes = row->size_bytes;
				row->old_usable_bytes = row->usable_bytes;
				row->old_stack_id = row->stack_id;
				if (next_random() % 2)
					row->address = 0x9000000 + i * 64;
				row->size_bytes = 40;
				row->usable_bytes = 48;
				row->stack_id = 1 + i / 100;
				live[victim] = *row;
			} else {
				row->freed_stack_id = i % 5 ? 1 + i % 7 : 0;
				live[victim] = live[--lives];
			}
		} else {
			row->kind = EVENT_MALLOC;
			row->usable_bytes = 16 << next_random() % 6;
			row->size_bytes = row->usable_bytes - next_random() % 16;
			row->address = 0x200000 + i * 64;
			row->stack_id = 1 + i / 100;
			live[lives++] = *row;
		}
	}
	for (unsigned i = 0; i < events; i += 1000)
		put_chunk(process_id, rows + i, events - i < 1000 ? events - i : 1000);
	return (struct history){ rows, events };
}

static void put_two_runs(void)
{
	put_process(1, 1, 4);
	put_process(2, 1, 4);
	put_process(3, 2, 4);
	free(put_history(1, 10000, 0).rows);
	free(put_history(2, 5000, 500).rows);
	free(put_history(3, 3000, 77).rows);
}

static void test_rows(void **state)
{
	struct history history;
	sqlite3_stmt *list = NULL;
	unsigned i = 0;

	(void)state;
	put_process(7, 4, 4);
	history = put_history(7, 3500, 1000);
	assert_int_equal(sqlite3_prepare_v2(
				 db,
				 "SELECT run_id, process_id, thread_id, seq, at_ns, kind, origin, "
				 "address, size_bytes, usable_bytes, stack_id, old_address, "
				 "allocated_at_ns, allocated_by_thread_id, old_size_bytes, "
				 "old_stack_id, free_stack_id, rowid FROM events",
				 -1, &list, NULL),
			 SQLITE_OK);
	for (; sqlite3_step(list) == SQLITE_ROW; i++) {
		const struct event_row *row = &history.rows[i];
		unsigned kind = event_kind_of(row->kind);
		bool has_old = kind != EVENT_MALLOC;
		uint32_t freed_at;

		assert_int_equal(sqlite3_column_int64(list, 0), 4);
		assert_int_equal(sqlite3_column_int64(list, 1), 7);
		assert_int_equal(sqlite3_column_int64(list, 2), 700 + row->thread);
		assert_int_equal(sqlite3_column_int64(list, 3), row->seq);
		assert_int_equal(sqlite3_column_int64(list, 4), row->at_ns);
		assert_string_equal((const char *)sqlite3_column_text(list, 5),
				    event_kind_name(kind));
		assert_string_equal((const char *)sqlite3_column_text(list, 6),
				    kind == EVENT_SBRK ? "allocator" : "program");
		assert_int_equal(sqlite3_column_int64(list, 7), row->address);
		assert_int_equal(sqlite3_column_int64(list, 8), row->size_bytes);
		assert_int_equal(sqlite3_column_int64(list, 9), row->usable_bytes);
		assert_int_equal(sqlite3_column_int64(list, 10), row->stack_id);
		assert_int_equal(sqlite3_column_type(list, 11),
				 row->old_address ? SQLITE_INTEGER : SQLITE_NULL);
		assert_int_equal(sqlite3_column_int64(list, 11), row->old_address);
		assert_int_equal(sqlite3_column_type(list, 12),
				 has_old && kind != EVENT_SBRK ? SQLITE_INTEGER : SQLITE_NULL);
		assert_int_equal(sqlite3_column_int64(list, 12), row->allocated_at_ns);
		if (row->allocated_by)
			assert_int_equal(sqlite3_column_int64(list, 13), 700 + row->allocated_by);
		assert_int_equal(sqlite3_column_int64(list, 14), row->old_size_bytes);
		assert_int_equal(sqlite3_column_int64(list, 15), row->old_stack_id);
		freed_at = kind == EVENT_REALLOC ? row->stack_id : row->freed_stack_id;
		assert_int_equal(sqlite3_column_type(list, 16),
				 freed_at ? SQLITE_INTEGER : SQLITE_NULL);
		assert_int_equal(sqlite3_column_int64(list, 16), freed_at);
	}
	assert_int_equal(i, 3500);
	sqlite3_finalize(list);
	assert_int_equal(number("SELECT count(DISTINCT rowid) FROM events"), 3500);
	free(history.rows);
}

/* A chunk whose bounds exclude every wanted row is never opened. */
static void test_pushed_down(void **state)
{
	static const struct {
		const char *sql;
		int64_t chunks;
	} queries[] = {
		{ "SELECT count(*) FROM events", 18 },
		{ "SELECT count(*) FROM events WHERE run_id = 2", 3 },
		{ "SELECT count(*) FROM events WHERE process_id = 2", 5 },
		{ "SELECT count(*) FROM events WHERE process_id > 2", 3 },
		{ "SELECT count(*) FROM events WHERE process_id IN (2, 3)", 8 },
		{ "SELECT count(*) FROM events WHERE run_id = 1 AND process_id = 3", 0 },
		{ "SELECT count(*) FROM events WHERE process_id = 1 AND thread_id = 101", 5 },
		{ "SELECT count(*) FROM events WHERE thread_id = 104", 5 },
		{ "SELECT count(*) FROM events WHERE thread_id = 999", 0 },
		{ "SELECT count(*) FROM events WHERE kind = 'munmap'", 0 },
		{ "SELECT count(*) FROM events WHERE kind = 'nonsense'", 0 },
		{ "SELECT count(*) FROM events WHERE process_id = 1 AND at_ns < 0", 0 },
		{ "SELECT count(*) FROM events WHERE process_id = 1 AND at_ns = NULL", 0 },
		{ "SELECT count(*) FROM events WHERE process_id = 1 AND at_ns BETWEEN 0 AND 100",
		  1 },
		{ "SELECT count(*) FROM events WHERE process_id = 1 AND at_ns <= 99.5", 1 },
		{ "SELECT count(*) FROM events WHERE process_id = 1 AND stack_id > 95", 1 },
		{ "SELECT count(*) FROM events WHERE process_id = 1 AND address = 1", 0 },
		{ "SELECT count(*) FROM allocations WHERE process_id = 3", 3 },
		{ "SELECT count(*) FROM allocations WHERE process_id = 1 AND freed_at_ns < 100",
		  1 },
		{ "SELECT count(*) FROM allocations WHERE freed_at_ns < 0", 0 },
		{ "SELECT seq FROM events WHERE process_id = 1 ORDER BY at_ns DESC LIMIT 1", 1 },
		{ "SELECT seq FROM events WHERE process_id = 1 ORDER BY at_ns LIMIT 1", 1 },
	};

	(void)state;
	put_two_runs();
	for (unsigned i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		int64_t value, opened = opened_by(queries[i].sql, &value);

		if (opened != queries[i].chunks)
			fail_msg("%s: %lld chunks opened, not %lld", queries[i].sql,
				 (long long)opened, (long long)queries[i].chunks);
	}
}

/* Any question gets the answer that a plain table with the same rows gives. */
static void test_as_plain(void **state)
{
	static const char *const columns[] = { "run_id", "process_id", "thread_id",  "seq",
					       "at_ns",	 "address",    "size_bytes", "stack_id" };
	static const char *const allocation_columns[] = {
		"run_id",   "process_id",      "thread_id",   "address",     "size_bytes",
		"stack_id", "allocated_at_ns", "freed_at_ns", "lifetime_ns", "freed_by_thread_id"
	};
	static const char *const operators[] = { "=", "<", "<=", ">", ">=", "IS NOT", "<>" };
	static const char *const kinds[] = { "malloc", "free", "realloc", "sbrk", "FREE", "" };

	(void)state;
	put_two_runs();
	run_sql("CREATE TEMP TABLE plain AS SELECT * FROM events;"
		"CREATE TEMP TABLE plain_allocations AS SELECT * FROM allocations");
	for (unsigned i = 0; i < 600; i++) {
		bool events = next_random() % 2;
		sqlite3_str *where = sqlite3_str_new(NULL);
		unsigned terms = 1 + (unsigned)(next_random() % 3);
		char *text;

		for (unsigned term = 0; term < terms; term++) {
			const char *column = events ? columns[next_random() % 8]
						    : allocation_columns[next_random() % 10];
			uint64_t pick = next_random();

			sqlite3_str_appendf(where, "%s", term ? " AND " : "");
			if (events && pick % 5 == 0) {
				sqlite3_str_appendf(where, "kind = '%s'%s", kinds[pick / 5 % 6],
						    pick / 50 % 2 ? " COLLATE NOCASE" : "");
			} else if (pick % 7 == 0) {
				sqlite3_str_appendf(where, "%s IS %sNULL", column,
						    pick / 7 % 2 ? "NOT " : "");
			} else {
				/* a value that occurs, or half a step beside it */
				sqlite3_str_appendf(
					where,
					"%s %s (SELECT %s%s FROM plain%s LIMIT 1 OFFSET %llu)",
					column, operators[pick / 7 % 7], column,
					pick / 49 % 4 ? "" : " + 0.5", events ? "" : "_allocations",
					pick / 1000 % 4000);
			}
		}
		text = sqlite3_str_finish(where);

		const char *from = events ? "events" : "allocations";
		const char *same = events ? "plain" : "plain_allocations";
		int64_t got =
			number("SELECT count(*) + total(size_bytes) FROM %s WHERE %s", from, text);
		int64_t expected =
			number("SELECT count(*) + total(size_bytes) FROM %s WHERE %s", same, text);

		if (got != expected)
			fail_msg("%s WHERE %s: %lld, not %lld", from, text, (long long)got,
				 (long long)expected);
		sqlite3_free(text);
	}
}

static void test_joins(void **state)
{
	(void)state;
	put_two_runs();
	assert_int_equal(number("SELECT count(*) FROM processes JOIN events USING (process_id) "
				"WHERE processes.run_id = 2"),
			 3000);
	assert_int_equal(number("SELECT count(*) FROM threads t JOIN events e "
				"ON e.thread_id = t.thread_id"),
			 18000);
	/* every free names an allocation made before, at the same address */
	assert_int_equal(number("SELECT count(*) FROM events f WHERE kind = 'free' AND "
				"process_id = 3 AND NOT EXISTS (SELECT 1 FROM events a WHERE "
				"a.process_id = f.process_id AND a.address = f.address AND "
				"a.at_ns = f.allocated_at_ns AND a.kind IN ('malloc', 'realloc'))"),
			 0);
}

static void test_order(void **state)
{
	struct event_row rows[40] = { 0 };

	(void)state;
	put_process(1, 1, 1);
	for (unsigned i = 0; i < 40; i++)
		rows[i] = (struct event_row){ .kind = EVENT_MALLOC,
					      .at_ns = 100 + 10 * i,
					      .seq = i,
					      .thread = 1,
					      .address = 16 * (i + 1) };
	/* late: inside a chunk, and in the chunk after */
	rows[5].at_ns = 105;
	rows[21].at_ns = 125;
	rows[22].at_ns = 118;
	rows[31].at_ns = 299;
	for (unsigned i = 0; i < 40; i += 10)
		put_chunk(1, rows + i, 10);
	for (unsigned descending = 0; descending < 2; descending++) {
		const char *way = descending ? "DESC" : "";

		assert_int_equal(number("SELECT count(*) FROM (SELECT at_ns FROM events WHERE "
					"process_id = 1 ORDER BY at_ns %s)",
					way),
				 40);
		assert_int_equal(number("SELECT count(DISTINCT seq) FROM (SELECT seq FROM events "
					"WHERE process_id = 1 AND at_ns > 0 ORDER BY at_ns %s)",
					way),
				 40);

		sqlite3_stmt *list = NULL;
		char sql[200];
		int64_t last = descending ? INT64_MAX : 0;

		snprintf(sql, sizeof(sql),
			 "SELECT at_ns, seq FROM events WHERE process_id = 1 ORDER BY at_ns %s",
			 way);
		assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &list, NULL), SQLITE_OK);
		for (unsigned i = 0; i < 40; i++) {
			assert_int_equal(sqlite3_step(list), SQLITE_ROW);

			int64_t at_ns = sqlite3_column_int64(list, 0);

			assert_true(descending ? at_ns <= last : at_ns >= last);
			assert_int_equal(at_ns, rows[sqlite3_column_int64(list, 1)].at_ns);
			last = at_ns;
		}
		assert_int_equal(sqlite3_step(list), SQLITE_DONE);
		sqlite3_finalize(list);
	}
	/* no sorting by SQLite */
	run_sql("CREATE TEMP TABLE plan(detail)");
	assert_int_equal(number("SELECT seq FROM events WHERE process_id = 1 "
				"ORDER BY at_ns DESC LIMIT 1"),
			 39);
	assert_int_equal(number("SELECT at_ns FROM events ORDER BY process_id, at_ns LIMIT 1"),
			 100);
}

/* Against a model that keeps what it saw. */
static void test_allocations(void **state)
{
	struct history history;
	int64_t frees = 0, live = 0, live_bytes = 0;

	(void)state;
	put_process(1, 1, 4);
	history = put_history(1, 20000, 0);
	for (unsigned i = 0; i < history.count; i++) {
		const struct event_row *row = &history.rows[i];

		if (!event_is_block(row->kind))
			continue;
		if (row->kind == EVENT_FREE || row->old_address) {
			frees++;
			live--;
			live_bytes -= (int64_t)(row->kind == EVENT_FREE ? row->size_bytes
									: row->old_size_bytes);
		}
		if (row->kind != EVENT_FREE) {
			live++;
			live_bytes += (int64_t)row->size_bytes;
		}
	}
	assert_int_equal(number("SELECT count(*) FROM allocations"), frees + live);
	assert_int_equal(number("SELECT count(freed_at_ns) FROM allocations"), frees);
	assert_int_equal(number("SELECT count(*) FROM allocations WHERE freed_at_ns IS NULL"),
			 live);
	assert_int_equal(
		number("SELECT sum(size_bytes) FROM allocations WHERE freed_at_ns IS NULL"),
		live_bytes);
	assert_int_equal(number("SELECT count(*) FROM allocations WHERE freed_at_ns IS NOT NULL"),
			 frees);
	assert_int_equal(
		number("SELECT count(*) FROM allocations WHERE lifetime_ns <> freed_at_ns - "
		       "allocated_at_ns OR lifetime_ns < 0"),
		0);
	/* at any moment: allocated before, and not freed yet */
	assert_int_equal(
		number("SELECT count(*) FROM allocations WHERE allocated_at_ns <= 90000 AND "
		       "coalesce(freed_at_ns, 1e18) > 90000"),
		number("SELECT sum(CASE WHEN kind = 'malloc' THEN 1 WHEN kind = 'free' "
		       "THEN -1 ELSE 0 END) FROM events WHERE at_ns <= 90000"));
	/* a replay in several passes, for little memory, finds the same */
	run_sql("UPDATE processes SET peak_blocks = 40000000");
	assert_int_equal(number("SELECT count(*) FROM allocations"), frees + live);
	assert_int_equal(number("SELECT count(*) FROM allocations WHERE freed_at_ns IS NULL"),
			 live);
	assert_int_equal(
		number("SELECT sum(size_bytes) FROM allocations WHERE freed_at_ns IS NULL"),
		live_bytes);
	free(history.rows);
}

/* Blocks from before the recording, failures, and frees that are stored before their malloc. */
static void test_odd_allocations(void **state)
{
	const struct event_row rows[] = {
		{ .kind = EVENT_LIVE, .at_ns = 5, .address = 0x1000, .size_bytes = 7, .thread = 1 },
		{ .kind = EVENT_FREE,
		  .at_ns = 10,
		  .address = 0x1000,
		  .size_bytes = 7,
		  .allocated_at_ns = EVENT_TIME_UNKNOWN,
		  .thread = 1 },
		{ .kind = EVENT_FREE,
		  .at_ns = 11,
		  .address = 0x2000,
		  .size_bytes = 8,
		  .allocated_at_ns = EVENT_TIME_UNKNOWN,
		  .thread = 1 },
		{ .kind = EVENT_MALLOC,
		  .at_ns = 12,
		  .address = 0,
		  .size_bytes = 1ull << 50,
		  .thread = 1 },
		{ .kind = EVENT_FREE,
		  .at_ns = 20,
		  .address = 0x3000,
		  .size_bytes = 9,
		  .allocated_at_ns = 15,
		  .allocated_by = 2,
		  .thread = 1 },
		{ .kind = EVENT_MALLOC,
		  .at_ns = 15,
		  .address = 0x3000,
		  .size_bytes = 9,
		  .thread = 2 },
		{ .kind = EVENT_MALLOC,
		  .at_ns = 30,
		  .address = 0x3000,
		  .size_bytes = 10,
		  .thread = 2 },
	};

	(void)state;
	put_process(1, 1, 2);
	put_chunk(1, rows, sizeof(rows) / sizeof(rows[0]));
	assert_int_equal(number("SELECT count(*) FROM allocations"), 4);
	assert_int_equal(number("SELECT count(*) FROM allocations WHERE allocated_at_ns IS NULL"),
			 2);
	assert_int_equal(number("SELECT count(*) FROM allocations WHERE thread_id IS NULL"), 2);
	assert_int_equal(number("SELECT lifetime_ns FROM allocations WHERE address = 12288 "
				"AND freed_at_ns IS NOT NULL"),
			 5);
	assert_int_equal(number("SELECT size_bytes FROM allocations WHERE freed_at_ns IS NULL"),
			 10);
	assert_int_equal(number("SELECT count(*) FROM events WHERE allocated_at_ns IS NOT NULL"),
			 1);
}

static void test_pages(void **state)
{
#define HELD EVENT_BY_ALLOCATOR
	const struct event_row rows[] = {
		{ .kind = EVENT_SBRK | HELD,
		  .at_ns = 10,
		  .address = 0x10000,
		  .size_bytes = 0x20000 },
		{ .kind = EVENT_SPAN | HELD,
		  .at_ns = 20,
		  .address = 0x10000,
		  .size_bytes = 0x4000,
		  .usable_bytes = 64 },
		{ .kind = EVENT_MALLOC, .at_ns = 30, .address = 0x10000, .size_bytes = 60 },
		{ .kind = EVENT_MALLOC, .at_ns = 40, .address = 0x10fc0, .size_bytes = 64 },
		{ .kind = EVENT_MALLOC, .at_ns = 50, .address = 0x12000, .size_bytes = 1 },
		{ .kind = EVENT_FREE,
		  .at_ns = 60,
		  .address = 0x10000,
		  .size_bytes = 60,
		  .allocated_at_ns = 30 },
		{ .kind = EVENT_SPAN | HELD,
		  .at_ns = 70,
		  .address = 0x20000,
		  .size_bytes = 0x3000,
		  .usable_bytes = 0x3000 },
		{ .kind = EVENT_MALLOC, .at_ns = 80, .address = 0x20000, .size_bytes = 0x2800 },
		{ .kind = EVENT_MADVISE | HELD,
		  .at_ns = 90,
		  .address = 0x14000,
		  .size_bytes = 0x2000,
		  .usable_bytes = MADV_DONTNEED },
		{ .kind = EVENT_MMAP, .at_ns = 95, .address = 0x7000000, .size_bytes = 0x1000 },
		{ .kind = EVENT_MMAP | HELD,
		  .at_ns = 100,
		  .address = 0x900000,
		  .size_bytes = 0x1000 },
		{ .kind = EVENT_MUNMAP | HELD,
		  .at_ns = 110,
		  .address = 0x900000,
		  .size_bytes = 0x1000 },
		{ .kind = EVENT_UNSPAN | HELD,
		  .at_ns = 120,
		  .address = 0x10000,
		  .size_bytes = 0x4000 },
		{ .kind = EVENT_SBRK | HELD,
		  .at_ns = 130,
		  .address = 0x30000,
		  .size_bytes = (uint64_t)-0x8000 },
	};
	int64_t value;

	(void)state;
	put_process(1, 1, 1);
	put_process(2, 1, 1);
	put_chunk(1, rows, sizeof(rows) / sizeof(rows[0]));
	assert_int_equal(number("SELECT count(*) FROM pages(1, 5)"), 0);
	assert_int_equal(number("SELECT count(*) FROM pages(1, 10)"), 32);
	assert_int_equal(number("SELECT count(*) FROM pages(1, 10) WHERE state = 'free'"), 32);
	assert_int_equal(number("SELECT count(*) FROM pages(1, 20) WHERE state = 'empty'"), 4);
	assert_int_equal(number("SELECT live_blocks FROM pages(1, 55) WHERE address = 65536"), 2);
	assert_int_equal(number("SELECT live_bytes FROM pages(1, 55) WHERE address = 65536"), 124);
	assert_int_equal(number("SELECT live_bytes FROM pages(1, 65) WHERE address = 65536"), 64);
	assert_int_equal(number("SELECT size_class_bytes FROM pages(1, 65) WHERE address = 65536"),
			 64);
	assert_int_equal(number("SELECT span_pages FROM pages(1, 65) WHERE address = 73728"), 4);
	assert_int_equal(
		number("SELECT sum(live_bytes) FROM pages(1, 85) WHERE span_address = 131072"),
		0x2800);
	assert_int_equal(number("SELECT sum(live_blocks) FROM pages(1, 85) "
				"WHERE span_address = 131072"),
			 1);
	assert_int_equal(number("SELECT count(*) FROM pages(1, 90) WHERE state = 'released'"), 2);
	assert_int_equal(number("SELECT count(*) FROM pages(1, 105)"), 33);
	assert_int_equal(number("SELECT count(*) FROM pages(1, 115)"), 32);
	assert_int_equal(number("SELECT count(*) FROM pages(1)"), 24);
	assert_int_equal(number("SELECT count(*) FROM pages"), 24);
	assert_int_equal(number("SELECT count(*) FROM pages(2)"), 0);
	assert_int_equal(number("SELECT count(*) FROM pages WHERE process_id = 1 AND at_ns = 105"),
			 33);
	assert_int_equal(number("SELECT count(*) FROM processes p JOIN pages(p.process_id, 10)"),
			 32);

	/* The inner loop of a join replays the process once, not for every row of the outer one. */
	assert_int_equal(opened_by("WITH n(i) AS MATERIALIZED (VALUES (1), (2), (3)) SELECT "
				   "count(*) FROM n CROSS JOIN pages(1, 10)",
				   &value),
			 1);
	assert_int_equal(value, 96);
	assert_int_equal(number("WITH n(i) AS (VALUES (105), (10), (10), (5), (105)) "
				"SELECT count(*) FROM n CROSS JOIN pages(1, n.i)"),
			 33 + 32 + 32 + 33);
	assert_int_equal(number("WITH n(i) AS (VALUES (1), (2), (1)) "
				"SELECT count(*) FROM n CROSS JOIN pages(n.i, 10)"),
			 64);
}

/* A damaged chunk is an error that names it; the others stay readable. */
static void test_damaged_chunk(void **state)
{
	sqlite3_stmt *list = NULL;
	struct history history;
	int rc, rows = 0;
	char sql[200];

	(void)state;
	put_process(1, 1, 4);
	history = put_history(1, 5000, 0);
	run_sql("UPDATE chunks SET blob = CAST(substr(blob, 1, 100) || zeroblob(length(blob) - "
		"100) "
		"AS BLOB) WHERE chunk_id = 3");
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT sum(size_bytes) FROM events", -1, &list,
					    NULL),
			 SQLITE_OK);
	rc = sqlite3_step(list);
	assert_int_equal(rc & 0xff, SQLITE_CORRUPT);
	assert_non_null(strstr(sqlite3_errmsg(db), "chunk 3 of process 1"));
	sqlite3_finalize(list);

	assert_int_equal(number("SELECT count(*) FROM events WHERE at_ns < %lld",
				(long long)history.rows[2000].at_ns),
			 2000);
	assert_int_equal(number("SELECT count(*) FROM events WHERE at_ns > %lld",
				(long long)history.rows[2999].at_ns),
			 2000);
	snprintf(sql, sizeof(sql), "SELECT at_ns FROM events");
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &list, NULL), SQLITE_OK);
	while ((rc = sqlite3_step(list)) == SQLITE_ROW)
		rows++;
	assert_int_equal(rows, 2000);
	sqlite3_finalize(list);
	run_sql("UPDATE chunks SET blob = NULL WHERE 0");
	run_sql("UPDATE chunks SET blob = 'text' WHERE chunk_id = 3");
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM allocations", -1, &list,
					    NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(list) & 0xff, SQLITE_CORRUPT);
	sqlite3_finalize(list);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM pages(1)", -1, &list, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(list) & 0xff, SQLITE_CORRUPT);
	sqlite3_finalize(list);
	free(history.rows);
}

static void test_stack_text(void **state)
{
	(void)state;
	run_sql("INSERT INTO modules(module_id, path) VALUES (1, '/bin/x');"
		"INSERT INTO frames(frame_id, module_id, offset, function, inline_depth,"
		" outer_frame_id) VALUES (1, 1, 10, 'main', 0, NULL), (2, 1, 20, NULL, 0, NULL),"
		" (3, 0, 255, NULL, 0, NULL), (4, 1, 30, '<[u8; 2]>::f', 0, 5),"
		" (5, 1, 30, 'g', 1, NULL), (6, 1, 40, 'ring', 0, 6);"
		"INSERT INTO stacks(stack_id, parent_stack_id, frame_id, depth) VALUES"
		" (1, 0, 1, 1), (2, 1, 2, 2), (3, 2, 3, 3), (4, 1, 4, 2), (5, 4, 6, 3)");
	assert_int_equal(number("SELECT stack_text(3) = 'main;/bin/x+0x14;0xff'"), 1);
	assert_int_equal(number("SELECT stack_text(1) = 'main'"), 1);
	assert_int_equal(number("SELECT stack_text(3, 2) = '/bin/x+0x14;0xff'"), 1);
	assert_int_equal(number("SELECT stack_text(3, 9) = stack_text(3)"), 1);
	assert_int_equal(number("SELECT stack_text(4) = 'main;g;<[u8: 2]>::f'"), 1);
	assert_int_equal(number("SELECT stack_text(4, 1) = '<[u8: 2]>::f'"), 1);
	assert_int_equal(number("SELECT stack_text(4, 2) = 'g;<[u8: 2]>::f'"), 1);
	assert_int_equal(number("SELECT count(*) FROM stack_text WHERE stack_id < 5 AND text = "
				"stack_text(stack_id)"),
			 4);
	/* A damaged file's ring of frames ends. */
	assert_int_equal(
		number("SELECT substr(text, -9) = 'ring;ring' FROM stack_text WHERE stack_id = 5"),
		1);
	assert_int_equal(number("SELECT stack_text(99) IS NULL"), 1);
	assert_int_equal(number("SELECT stack_text(NULL) IS NULL"), 1);
}

/* Readers see what was committed, while a writer goes on. */
static void test_while_writing(void **state)
{
	struct store_error error = { "" };
	struct history history;
	sqlite3 *writer = db, *reader = NULL;

	(void)state;
	put_process(1, 1, 4);
	history = put_history(1, 2000, 0);
	assert_int_equal(store_open(path, STORE_READ, &reader, &error), 0);
	assert_int_equal(heaptape_sqlite_register(reader), SQLITE_OK);
	db = reader;
	assert_int_equal(number("SELECT count(*) FROM events"), 2000);
	db = writer;
	put_chunk(1, history.rows, 500);
	assert_int_equal(store_begin(db, &error), 0);
	put_chunk(1, history.rows, 500);
	db = reader;
	assert_int_equal(number("SELECT count(*) FROM events"), 2500);
	db = writer;
	assert_int_equal(store_commit(db, &error), 0);
	db = reader;
	assert_int_equal(number("SELECT count(*) FROM events"), 3000);
	db = writer;
	store_close(reader);
	free(history.rows);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* SQLite reads the table once for each side of OR, and knows by rowid what it has seen. */
static void test_either(void **state)
{
	static const char both[] = "(stack_id < 40 AND process_id = 1) OR run_id = 2";
	const char *const tables[] = { "allocations", "events" };

	(void)state;
	put_two_runs();
	for (unsigned i = 0; i < 2; i++) {
		int64_t either = number("SELECT count(*) FROM %s WHERE %s", tables[i], both);

		assert_true(either > 1000);
		assert_int_equal(either,
				 number("SELECT count(*) FROM %s WHERE (%s) + 0", tables[i], both));
		assert_int_equal(either,
				 number("SELECT count(DISTINCT rowid) FROM %s WHERE (%s) + 0",
					tables[i], both));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rows),	  TEST(test_either),	      TEST(test_pushed_down),
		TEST(test_as_plain),	  TEST(test_joins),	      TEST(test_order),
		TEST(test_allocations),	  TEST(test_odd_allocations), TEST(test_pages),
		TEST(test_damaged_chunk), TEST(test_stack_text),      TEST(test_while_writing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
