/* Statements that go by names: what does not fit fails at once. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/statement.h"

enum { P_id, P_size, P_name, P_other, P_COUNT };
static const char *const names[P_COUNT] = { "id", "size", "name", "other" };

static sqlite3 *db;

static int begin(void **unused)
{
	(void)unused;
	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(id, size, name)", NULL, NULL, NULL),
			 SQLITE_OK);
	return 0;
}

static int end(void **unused)
{
	(void)unused;
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return 0;
}

static int prepare(struct statement *statement, const char *sql)
{
	return statement_prepare(statement, db, sql, names, P_COUNT);
}

static void test_by_name(void **unused)
{
	struct statement put, get;

	(void)unused;
	/* In one order here, in another there. */
	assert_int_equal(prepare(&put, "INSERT INTO t(name, size, id) VALUES(:name, :size, :id)"),
			 0);
	for (unsigned i = 1; i <= 2; i++) {
		statement_bind(&put, { P_id, i }, { P_size, 10 * i });
		statement_bind_text(&put, P_name, i == 1 ? "one" : NULL);
		assert_int_equal(statement_step(&put), SQLITE_DONE);
		assert_int_equal(statement_reset(&put), SQLITE_OK);
	}
	statement_release(&put);
	assert_int_equal(prepare(&get, "SELECT name AS name, id AS size, size AS id FROM t WHERE "
				       "id=:other OR :other IS NULL ORDER BY id"),
			 0);
	statement_bind_known(&get, P_other, false, 5);
	assert_int_equal(statement_step(&get), SQLITE_ROW);
	assert_int_equal(statement_number(&get, P_id), 10);
	assert_int_equal(statement_number(&get, P_size), 1);
	assert_string_equal(statement_text(&get, P_name), "one");
	assert_int_equal(statement_step(&get), SQLITE_ROW);
	assert_null(statement_text(&get, P_name));
	statement_reset(&get);
	statement_bind_known(&get, P_other, true, 2);
	assert_int_equal(statement_step(&get), SQLITE_ROW);
	assert_int_equal(statement_number(&get, P_id), 20);
	assert_int_equal(statement_step(&get), SQLITE_DONE);
	statement_release(&get);
}

static void test_names_that_do_not_fit(void **unused)
{
	static const char *const bad[] = {
		"INSERT INTO t(id) VALUES(:unknown)", /* a parameter the list has not */
		"INSERT INTO t(id) VALUES(?1)",	      /* without a name */
		"INSERT INTO t(id) VALUES(?)",	      "INSERT INTO t(id) VALUES(@id)",
		"SELECT id AS unknown FROM t", /* a column the list has not */
		"SELECT id AS id, size AS id FROM t",
	};
	struct statement statement;

	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(prepare(&statement, bad[i]), -EINVAL);
		assert_null(statement.sql);
	}
	assert_int_equal(prepare(&statement, "INSERT INTO nothing VALUES(:id)"), -EIO);
}

static bool dies(void (*what)(struct statement *put))
{
	struct statement put;
	int status;
	pid_t child;

	assert_int_equal(prepare(&put, "INSERT INTO t(id, size) VALUES(:id, :size)"), 0);
	child = fork();
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
		close(STDERR_FILENO);
		what(&put);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	statement_release(&put);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void left_out(struct statement *put)
{
	statement_bind(put, { P_id, 1 });
	statement_step(put);
}

static void left_over(struct statement *put)
{
	statement_bind(put, { P_id, 1 }, { P_size, 2 }, { P_other, 3 });
}

static void left_from_before(struct statement *put)
{
	statement_bind(put, { P_id, 1 }, { P_size, 2 });
	statement_step(put);
	statement_reset(put);
	statement_bind(put, { P_id, 1 });
	statement_step(put);
}

static void not_a_column(struct statement *put)
{
	statement_number(put, P_id);
}

static void nothing_wrong(struct statement *put)
{
	statement_bind(put, { P_id, 1 }, { P_size, 2 });
	statement_step(put);
}

static void test_values_that_do_not_fit(void **unused)
{
	(void)unused;
	assert_true(dies(left_out));
	assert_true(dies(left_over));
	assert_true(dies(left_from_before));
	assert_true(dies(not_a_column));
	assert_false(dies(nothing_wrong));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_by_name, begin, end),
		cmocka_unit_test_setup_teardown(test_names_that_do_not_fit, begin, end),
		cmocka_unit_test_setup_teardown(test_values_that_do_not_fit, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
