/* Runs whose daemon was killed are told from those that go on, and ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/recorder.h"
#include "proto/store.h"

static char host[256];

/* The identity of a process that is no more. */
static void dead_identity(char text[RECORDER_BYTES])
{
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		recorder_self(text);
		_exit(write(ends[1], text, RECORDER_BYTES) != RECORDER_BYTES);
	}
	assert_int_equal(read(ends[0], text, RECORDER_BYTES), RECORDER_BYTES);
	/* Also before it has been waited for. */
	waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT);
	assert_true(recorder_is_gone(text, host));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(ends[0]);
	close(ends[1]);
}

static void test_identity(void **unused)
{
	char self[RECORDER_BYTES], dead[RECORDER_BYTES], other[RECORDER_BYTES];

	(void)unused;
	recorder_self(self);
	assert_true(self[0] != '\0');
	assert_false(recorder_is_gone(self, host));
	dead_identity(dead);
	assert_true(recorder_is_gone(dead, host));
	assert_false(recorder_is_gone(dead, "another-host"));
	/* Our pid, but begun at another time. */
	snprintf(other, sizeof(other), "%.*s1", (int)strlen(self), self);
	assert_true(recorder_is_gone(other, host));
	/* The machine was started anew. */
	memcpy(other, self, sizeof(other));
	other[0] = other[0] == '0' ? '1' : '0';
	assert_true(recorder_is_gone(other, host));
	assert_false(recorder_is_gone("", host));
	assert_false(recorder_is_gone("nonsense", host));
	assert_false(recorder_is_gone("a b c d", host));
}

static int64_t number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;
	int64_t value;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return value;
}

static void add_run(sqlite3 *db, int run_id, const char *recorder)
{
	struct store_error error;
	char *sql = sqlite3_mprintf(
		"INSERT INTO runs(run_id, command, host, started_at, state, version, recorder)"
		" VALUES(%d, 'x', %Q, 1000, 'running', '1', %Q);"
		"INSERT INTO processes(process_id, run_id, pid, executable, command, started_ns,"
		" ending) VALUES(%d, %d, 1, 'x', 'x', 5, 'running');"
		"INSERT INTO samples VALUES(%d, 70, 0, 0, 0, 0, 0, 0);"
		"INSERT INTO processes(process_id, run_id, pid, executable, command, started_ns,"
		" ended_ns, ending) VALUES(%d, %d, 2, 'x', 'x', 5, 40, 'exited')",
		run_id, host, recorder, run_id, run_id, run_id, 10 + run_id, run_id);

	assert_int_equal(store_exec(db, sql, &error), 0);
	sqlite3_free(sql);
}

static void test_end_left(void **unused)
{
	char self[RECORDER_BYTES], dead[RECORDER_BYTES], folder[] = "/tmp/heaptape-recorder-XXXXXX";
	struct store_error error;
	char path[64];
	sqlite3 *db;

	(void)unused;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/x.db", folder);
	assert_int_equal(store_open(path, STORE_CREATE, &db, &error), 0);
	recorder_self(self);
	dead_identity(dead);
	add_run(db, 1, self);
	assert_false(recorder_has_left(db));
	assert_int_equal(recorder_end_left(db), 0);
	add_run(db, 2, dead);
	add_run(db, 3, dead);
	add_run(db, 4, "");
	/* Its events go on after the last sample. */
	assert_int_equal(
		store_exec(db,
			   "INSERT INTO chunks VALUES(NULL, 3, 4, 5, 90, 0, 0, 0, 0, 0, 0, "
			   "0, 0, 0, x'00')",
			   &error),
		0);
	assert_true(recorder_has_left(db));
	assert_int_equal(recorder_end_left(db), 2);
	assert_false(recorder_has_left(db));
	assert_int_equal(recorder_end_left(db), 0);
	assert_int_equal(number(db, "SELECT count(*) FROM runs WHERE state = 'cut' AND "
				    "ended_at = iif(run_id = 2, 1070, 1090) AND run_id IN (2, 3)"),
			 2);
	assert_int_equal(number(db, "SELECT count(*) FROM runs WHERE state = 'running'"), 2);
	assert_int_equal(number(db, "SELECT count(*) FROM processes WHERE ending = 'cut' AND "
				    "ended_ns = iif(run_id = 2, 70, 90) AND "
				    "events = iif(run_id = 2, 0, 4)"),
			 2);
	assert_int_equal(number(db, "SELECT count(*) FROM notes"), 2);
	store_close(db);
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_end_left),
	};

	gethostname(host, sizeof(host) - 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
