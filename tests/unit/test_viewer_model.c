/*
 * The model as a server needs it: bad questions have an answer each, release what they took and leave
 * their out-parameters alone, and the next question is answered. Everything is asked twice in this one
 * process; with SANITIZE=address,undefined what is not released is found at its end.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/store.h"
#include "viewer/memory.h"
#include "viewer/model/live.h"
#include "viewer/model/moment.h"
#include "viewer/model/profile.h"
#include "viewer/model/run.h"
#include "viewer/model/site.h"
#include "viewer/model/suppress.h"
#include "viewer/model/wrappers.h"
#include "viewer/print/report_json.h"
#include "viewer/print/report_text.h"
#include "viewer/print/summary.h"
#include "viewer/sql/sql.h"

#define FRAMES 20

static char folder[64];
static char good[128], file[128];

static void must(sqlite3 *db, const char *sql)
{
	char *why = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", sql, why);
}

/* One row at least in every table that a report reads. */
static void make_good(void)
{
	struct store_error error;
	sqlite3 *db;

	assert_int_equal(store_open(good, STORE_CREATE, &db, &error), 0);
	must(db,
	     "BEGIN;"
	     "INSERT INTO runs(run_id, label, command, started_at, ended_at, state, exit_code, "
	     "version) VALUES (1, 'first', '/bin/first arg', 1000, 9000, 'complete', 0, '1'), "
	     "(2, '', 'second', 2000, NULL, 'cut', NULL, '1');"
	     "INSERT INTO processes(process_id, run_id, pid, executable, command, started_ns, "
	     "ended_ns, ending, exit_signal, events, allocations, allocated_bytes, live_blocks, "
	     "live_bytes, peak_blocks, peak_bytes, peak_ns, cut_stacks, unrecorded_reason) "
	     "VALUES (1, 1, 70, '/bin/first', '/bin/first arg', 0, 50, 'killed', 11, 4, 4, 400, "
	     "1, 100, 2, 200, 30, 1, NULL), (2, 1, 71, '/bin/static', '/bin/static', 5, 9, "
	     "'exited', NULL, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 'it is linked statically');"
	     "INSERT INTO threads(thread_id, process_id, number, tid, started_ns) VALUES "
	     "(1, 1, 1, 70, 0), (2, 1, 2, 72, 3);"
	     "INSERT INTO stack_cuts VALUES (1, 'depth', 1);"
	     "INSERT INTO modules(module_id, path) VALUES (1, '/bin/first'), "
	     "(2, '/lib/libc.so.6');"
	     "INSERT INTO size_histogram VALUES (1, 128, 4, 400, 1, 100);"
	     "INSERT INTO samples VALUES (1, 40, 1, 100, 4096, 0, 4, 3);"
	     "INSERT INTO gaps(process_id, from_ns, to_ns) VALUES (1, 10, 20), (1, 45, NULL);"
	     "INSERT INTO marks VALUES (1, 1, NULL, 25, 'noon', 1, 0, 1, 100);"
	     "INSERT INTO misuses VALUES (1, 33, 1, 'double free', 4096, NULL, 100, 1, NULL, "
	     "77777, 'freed twice');"
	     "INSERT INTO notes(run_id, text) VALUES (1, 'a note');");
	for (int i = 1; i <= FRAMES; i++) {
		char *sql = sqlite3_mprintf(
			"INSERT INTO frames(frame_id, module_id, offset, function, file, line, "
			"symbol_state) VALUES (%d, 1, %d, 'function_%d', '/src/file_%d.c', %d, "
			"'found'); INSERT INTO stacks(stack_id, parent_stack_id, frame_id, depth) "
			"VALUES (%d, %d, %d, %d); INSERT INTO stack_totals VALUES (1, %d, 1, 1, 0, "
			"0, 0, 1, 1, 1, 1);",
			i, i, i, i, i, i, i - 1, i, i, i);

		must(db, sql);
		sqlite3_free(sql);
	}
	must(db, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;");
	store_close(db);
}

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/heaptape-model-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(good, sizeof(good), "%s/good.db", folder);
	snprintf(file, sizeof(file), "%s/file", folder);
	make_good();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(good);
	unlink(file);
	return rmdir(folder);
}

/* What an out-parameter holds before; it must hold the same after a failure. */
static void untouched_init(void *out, size_t bytes)
{
	memset(out, 0xa5, bytes);
}

static void assert_untouched(const void *out, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(((const unsigned char *)out)[i], 0xa5);
}

/* Each prints into memory. */
static int print_all(struct db *db, const struct run *run, const struct profile *profile,
		     char **ret_text, struct error *error)
{
	const struct report_options options = { 5, true, "", { 0 } };
	const struct summary_context context = { good, 0, 0 };
	struct sql_session session = { .db = db, .form = TABLE_CSV };
	struct site *sites;
	size_t count = sites_group(profile, &sites), bytes;
	char *text = NULL;
	FILE *out = memory_stream(&text, &bytes);
	int result = report_json(out, db, run, profile, sites, count, &options.kept, error);

	session.out = out;
	if (!result)
		result = report_text(out, db, run, profile, &options, error);
	if (!result)
		result = summary_print(out, db, run, &context, error);
	if (!result)
		result =
			sql_script(&session, "SELECT count(*) AS n FROM frames;\n.tables\n", error);
	memory_stream_end(out);
	sites_free(sites, count);
	if (result)
		free(text);
	else
		*ret_text = text;
	return result;
}

/* Everything there is to ask of a run; as a request to a server would. */
static int ask_run(struct db *db, const char *name, char **ret_text, struct error *error)
{
	struct wrappers wrappers = { NULL, 0 };
	struct profile profile = { 0 };
	struct run run = { 0 };
	int64_t run_id = 0, process_id = 0, at_ns = 0, ageless = 0;
	int result = db_snapshot(db, error);

	if (!result)
		result = run_select(db, name, &run_id, error);
	if (!result)
		result = run_load(db, run_id, &run, error);
	if (!result)
		result = run_process(db, &run, 70, &process_id, error);
	if (!result)
		result = moment_select(db, &run, "noon", &at_ns, error);
	if (!result)
		result = wrappers_load(NULL, &wrappers, error);
	if (!result)
		result = profile_load(db, &run, process_id, &wrappers, &profile, error);
	if (!result)
		result = db_register(db, error);
	if (!result)
		result = live_load(db, &run, process_id, NULL, 0, at_ns, &profile, &ageless, error);
	if (!result)
		result = print_all(db, &run, &profile, ret_text, error);
	profile_release(&profile);
	wrappers_release(&wrappers);
	run_release(&run);
	return result;
}

static int ask(const char *path, const char *name, char **ret_text, struct error *error)
{
	struct db db = { NULL, NULL };
	bool left;
	int result = db_open(path, &db, &left, error);

	if (!result)
		result = ask_run(&db, name, ret_text, error);
	db_close(&db);
	return result;
}

static void ask_well(void)
{
	static const char *const words[] = { "function_1 file_1.c:1", "\"unrecorded_processes\": 1",
					     "it is linked statically", "double free", "a note" };
	struct error error;
	char *text = NULL;

	if (ask(good, "first", &text, &error))
		fail_msg("the good recording: %s", error.text);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strstr(text, words[i]))
			fail_msg("the good recording: no %s in %s", words[i], text);
	free(text);
}

static void ask_badly(const char *path, const char *name, int code, const char *words)
{
	struct error error;
	char *text;

	untouched_init(&text, sizeof(text));
	assert_int_equal(ask(path, name, &text, &error), code);
	if (!strstr(error.text, words))
		fail_msg("'%s' should say '%s'", error.text, words);
	assert_untouched(&text, sizeof(text));
	ask_well();
}

static void write_file(const void *data, size_t bytes)
{
	FILE *out = fopen(file, "we");

	assert_non_null(out);
	assert_int_equal(fwrite(data, 1, bytes, out), bytes);
	assert_int_equal(fclose(out), 0);
}

static void test_databases(void **state)
{
	static const char text[] = "this is no database, and long enough to tell; "
				   "this is no database, and long enough to tell; ";
	static char bytes[1 << 20];
	FILE *in = fopen(good, "re");
	size_t size;

	(void)state;
	assert_non_null(in);
	size = fread(bytes, 1, sizeof(bytes), in);
	fclose(in);
	assert_in_range(size, 32768, sizeof(bytes) - 1);
	for (int round = 0; round < 2; round++) {
		sqlite3 *other;

		unlink(file);
		ask_badly(file, "first", -ENOENT, "there is no database");
		ask_badly(folder, "first", -EISDIR, folder);
		write_file(text, sizeof(text));
		ask_badly(file, "first", -EMEDIUMTYPE, "not a heaptape database");
		unlink(file);
		assert_int_equal(sqlite3_open(file, &other), SQLITE_OK);
		must(other, "CREATE TABLE t(x)");
		sqlite3_close(other);
		ask_badly(file, "first", -EMEDIUMTYPE, "not one of heaptape's");
		for (size_t part = 1; part < 8; part++) {
			write_file(bytes, size * part / 8 / 4096 * 4096);
			ask_badly(file, "first", -EUCLEAN, "damaged");
		}
	}
}

static void test_questions(void **state)
{
	struct error error;
	struct db db;
	bool left;

	(void)state;
	assert_int_equal(db_open(good, &db, &left, &error), 0);
	for (int round = 0; round < 2; round++) {
		static const char *const moments[] = { "never", "12", "", "101%", "1e400s" };
		struct run run;
		int64_t number;

		untouched_init(&number, sizeof(number));
		assert_int_equal(run_select(&db, "last~7", &number, &error), -ENOENT);
		assert_non_null(strstr(error.text, "holds 2 runs"));
		assert_int_equal(run_select(&db, "no such", &number, &error), -ENOENT);
		assert_non_null(strstr(error.text, "there is no run 'no such'"));
		assert_untouched(&number, sizeof(number));
		untouched_init(&run, sizeof(run));
		assert_int_equal(run_load(&db, 99, &run, &error), -ENOENT);
		assert_untouched(&run, sizeof(run));
		assert_int_equal(run_load(&db, 1, &run, &error), 0);
		assert_string_equal(run.short_command, "first arg");
		assert_string_equal(run.ending, "0");
		assert_int_equal(run.duration_ns, 8000);
		assert_int_equal(run_process(&db, &run, 4711, &number, &error), -ENOENT);
		for (size_t i = 0; i < sizeof(moments) / sizeof(*moments); i++)
			assert_true(moment_select(&db, &run, moments[i], &number, &error) < 0);
		assert_untouched(&number, sizeof(number));
		assert_int_equal(moment_select(&db, &run, "peak", &number, &error), 0);
		assert_int_equal(number, 30);
		run_release(&run);
		assert_int_equal(run_load(&db, 2, &run, &error), 0);
		assert_string_equal(run.ending, "?, cut");
		untouched_init(&number, sizeof(number));
		assert_int_equal(moment_select(&db, &run, "peak", &number, &error), -ENOENT);
		assert_non_null(strstr(error.text, "has no peak"));
		assert_untouched(&number, sizeof(number));
		run_release(&run);
	}
	db_close(&db);
}

static void test_files(void **state)
{
	static const char lines[] = "# ours\nleak:main\nno suppression\n";

	(void)state;
	for (int round = 0; round < 2; round++) {
		struct suppressions suppressions;
		struct wrappers wrappers;
		struct error error;

		untouched_init(&suppressions, sizeof(suppressions));
		untouched_init(&wrappers, sizeof(wrappers));
		unlink(file);
		assert_int_equal(suppressions_load(file, &suppressions, &error), -ENOENT);
		assert_int_equal(wrappers_load(file, &wrappers, &error), -ENOENT);
		assert_int_equal(suppressions_load(folder, &suppressions, &error), -EISDIR);
		assert_int_equal(wrappers_load(folder, &wrappers, &error), -EISDIR);
		write_file(lines, sizeof(lines) - 1);
		assert_int_equal(suppressions_load(file, &suppressions, &error), -EINVAL);
		assert_non_null(strstr(error.text, ":3: 'no suppression'"));
		assert_untouched(&suppressions, sizeof(suppressions));
		assert_untouched(&wrappers, sizeof(wrappers));
		assert_int_equal(wrappers_load(file, &wrappers, &error), 0);
		assert_int_equal(wrappers.count, 2);
		wrappers_release(&wrappers);
		write_file(lines, strlen("# ours\nleak:main\n"));
		assert_int_equal(suppressions_load(file, &suppressions, &error), 0);
		assert_int_equal(suppressions.count, 1);
		suppressions_release(&suppressions);
	}
}

static int steps_left;

static int interrupt_cb(void *context)
{
	(void)context;
	return --steps_left <= 0;
}

/* As if a reader had gone away, wherever the question has come: later each time, to its end. */
static void test_interrupted(void **state)
{
	int interrupted = 0;

	(void)state;
	for (int round = 0; round < 2; round++) {
		int result = -1;

		for (int steps = 1; result; steps++) {
			struct db db = { NULL, NULL };
			struct error error;
			char *text = NULL;
			bool left;

			assert_int_equal(db_open(good, &db, &left, &error), 0);
			steps_left = steps;
			sqlite3_progress_handler(db.connection, 10, interrupt_cb, NULL);
			result = ask_run(&db, "first", &text, &error);
			if (result) {
				interrupted++;
				assert_null(text);
				if (!strstr(error.text, "interrupt"))
					fail_msg("'%s' is no interruption", error.text);
			}
			free(text);
			sqlite3_progress_handler(db.connection, 0, NULL, NULL);
			db_close(&db);
		}
		ask_well();
	}
	assert_in_range(interrupted, 200, 100000);
}

struct pair {
	int64_t one;
	const char *other;
};

/* Columns that a query lacks, or that nothing reads. */
static void test_columns(void **state)
{
	static const struct row_field fields[] = {
		{ "one", ROW_NUMBER, offsetof(struct pair, one), 0 },
		{ "other", ROW_TEXT, offsetof(struct pair, other), 0 },
		ROW_END
	};
	static const struct {
		const char *sql, *words;
	} bad[] = {
		{ "SELECT 1 AS one", "lacks the column 'other'" },
		{ "SELECT 1 AS one, 2 AS another", "lacks the column 'other'" },
		{ "SELECT 1 AS one, 2 AS other, 3 AS third",
		  "nothing reads a query's column 'third'" },
		{ "SELECT 1 AS one, 2 AS other, 3 AS one", "nothing reads a query's column 'one'" },
		{ "SELECT no_such FROM runs", "no such column" },
		{ "SELECT ? AS one, ? AS other", "2 parameters, and 0 values" },
	};
	struct error error;
	struct rows rows;
	struct pair pair;
	struct db db;
	bool left;

	(void)state;
	assert_int_equal(db_open(good, &db, &left, &error), 0);
	for (int round = 0; round < 2; round++) {
		untouched_init(&rows, sizeof(rows));
		for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
			assert_true(rows_open(&rows, &db, fields, 0, &error, bad[i].sql, "") < 0);
			if (!strstr(error.text, bad[i].words))
				fail_msg("'%s' should say '%s'", error.text, bad[i].words);
		}
		assert_untouched(&rows, sizeof(rows));
		/* In whatever order they come. */
		assert_int_equal(
			rows_open(&rows, &db, fields, 0, &error,
				  "SELECT 'text' AS other, ? AS one UNION ALL SELECT NULL, "
				  "NULL",
				  "i", (int64_t)7),
			0);
		assert_int_equal(rows_next(&rows, &pair, &error), 1);
		assert_int_equal(pair.one, 7);
		assert_string_equal(pair.other, "text");
		assert_int_equal(rows_next(&rows, &pair, &error), 1);
		assert_true(pair.one == UNKNOWN);
		assert_string_equal(pair.other, "");
		assert_int_equal(rows_next(&rows, &pair, &error), 0);
		assert_int_equal(rows_next(&rows, &pair, &error), 0);
	}
	assert_null(sqlite3_next_stmt(db.connection, NULL));
	db_close(&db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_databases), cmocka_unit_test(test_questions),
		cmocka_unit_test(test_files),	  cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_columns),
	};

	unsetenv("XDG_CONFIG_HOME");
	unsetenv("HOME");
	return cmocka_run_group_tests(tests, setup, teardown);
}
