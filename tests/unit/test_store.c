/* The database is made, opened, upgraded and refused as proto/store.h says, with words that help. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/store.h"

static char folder[64];
static char path[128];

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/heaptape-store-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/heaptape.db", folder);
	return 0;
}

static int teardown(void **state)
{
	static const char *const tails[] = { "", "-wal", "-shm", "-journal" };
	char file[160];

	(void)state;
	chmod(folder, 0700);
	for (unsigned i = 0; i < 4; i++) {
		snprintf(file, sizeof(file), "%s%s", path, tails[i]);
		unlink(file);
	}
	return rmdir(folder);
}

static sqlite3 *open_or_fail(enum store_mode mode)
{
	struct store_error error = { "" };
	sqlite3 *db = NULL;

	if (store_open(path, mode, &db, &error))
		fail_msg("%s", error.text);
	return db;
}

/* Opening fails with `code`, and the message has each of the words and the file's name. */
static void refuse(enum store_mode mode, int code, const char *word, const char *advice)
{
	struct store_error error = { "" };
	sqlite3 *untouched = (sqlite3 *)&error, *db = untouched;

	assert_int_equal(store_open(path, mode, &db, &error), code);
	assert_ptr_equal(db, untouched);
	if (!strstr(error.text, word) || !strstr(error.text, advice) || !strstr(error.text, folder))
		fail_msg("unexpected message: %s", error.text);
}

static void write_file(const void *data, size_t bytes)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, bytes, file), bytes);
	fclose(file);
}

static int64_t number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement = NULL;
	int64_t value;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return value;
}

static void put_some_chunk(sqlite3 *db, int64_t process_id)
{
	struct chunk_bounds bounds = { .events = 3, .first_ns = 10, .last_ns = 20 };
	struct statement insert = { 0 };
	int64_t chunk_id = 0;

	assert_int_equal(store_put_chunk(db, &insert, process_id, "abc", 3, &bounds, &chunk_id), 0);
	assert_true(chunk_id > 0);
	statement_release(&insert);
}

static void test_made(void **state)
{
	sqlite3 *db = open_or_fail(STORE_CREATE);

	(void)state;
	assert_int_equal(number(db, "PRAGMA user_version"), STORE_VERSION);
	assert_int_equal(number(db, "PRAGMA application_id"), STORE_APPLICATION_ID);
	assert_int_equal(number(db, "SELECT count(*) FROM sqlite_master WHERE name IN "
				    "('runs', 'processes', 'threads', 'chunks', 'stack_totals')"),
			 5);
	assert_int_equal(number(db, "SELECT count(*) FROM runs"), 0);
	store_close(db);
	/* a second time it is there already */
	db = open_or_fail(STORE_CREATE);
	store_close(db);
	db = open_or_fail(STORE_WRITE);
	store_close(db);
	db = open_or_fail(STORE_READ);
	assert_int_equal(number(db, "SELECT count(*) FROM runs"), 0);
	store_close(db);
}

static void test_read_never_writes(void **state)
{
	struct store_error error = { "" };
	sqlite3 *db = open_or_fail(STORE_CREATE);

	(void)state;
	store_close(db);
	db = open_or_fail(STORE_READ);
	assert_int_equal(store_exec(db, "DELETE FROM runs", &error), -EROFS);
	assert_non_null(strstr(error.text, path));
	store_close(db);
}

static void test_missing(void **state)
{
	(void)state;
	refuse(STORE_READ, -ENOENT, "no such file", "heaptape run");
	refuse(STORE_WRITE, -ENOENT, "no such file", "--db");
	assert_int_equal(access(path, F_OK), -1);
}

static void test_missing_folder(void **state)
{
	struct store_error error = { "" };
	sqlite3 *db = NULL;

	(void)state;
	assert_int_equal(store_open("/nonexistent/x/heaptape.db", STORE_CREATE, &db, &error),
			 -ENOENT);
	assert_non_null(strstr(error.text, "'/nonexistent/x'"));
	assert_int_equal(store_open("", STORE_CREATE, &db, &error), -EINVAL);
	assert_int_equal(store_open("/", STORE_CREATE, &db, &error), -EISDIR);
	assert_int_equal(store_open("/dev/null", STORE_CREATE, &db, &error), -EMEDIUMTYPE);
}

static void test_not_a_database(void **state)
{
	static const char text[4096] = "This is some text, and not at all a database.";

	(void)state;
	write_file(text, sizeof(text));
	refuse(STORE_READ, -EMEDIUMTYPE, "not a heaptape database", "--db");
	refuse(STORE_CREATE, -EMEDIUMTYPE, "not a heaptape database", "--db");
	write_file("", 0);
	refuse(STORE_READ, -EMEDIUMTYPE, "empty", "nothing was recorded");
	refuse(STORE_WRITE, -EMEDIUMTYPE, "empty", "nothing was recorded");
	/* an empty file is as good as none */
	store_close(open_or_fail(STORE_CREATE));
}

static void test_foreign_database(void **state)
{
	sqlite3 *db = NULL;

	(void)state;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE photos(x)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	refuse(STORE_READ, -EMEDIUMTYPE, "not one of heaptape's", "--db");
	refuse(STORE_CREATE, -EMEDIUMTYPE, "not one of heaptape's", "--db");
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(number(db, "SELECT count(*) FROM sqlite_master"), 1);
	sqlite3_close(db);
}

static void test_newer(void **state)
{
	struct store_error error = { "" };
	sqlite3 *db = open_or_fail(STORE_CREATE);

	(void)state;
	assert_int_equal(store_exec(db, "PRAGMA user_version = 99", &error), 0);
	store_close(db);
	refuse(STORE_READ, -EPROTO, "format 99", "newer");
	refuse(STORE_CREATE, -EPROTO, "format 99", "newer");
}

static void test_damaged(void **state)
{
	sqlite3 *db = open_or_fail(STORE_CREATE);
	static char junk[200];
	FILE *file;

	(void)state;
	store_close(db);
	memset(junk, 0x5a, sizeof(junk));
	file = fopen(path, "r+");
	assert_non_null(file);
	/* behind the file's header: the root of the list of tables */
	fseek(file, 100, SEEK_SET);
	assert_int_equal(fwrite(junk, 1, sizeof(junk), file), sizeof(junk));
	fclose(file);
	refuse(STORE_READ, -EUCLEAN, "damaged", ".recover");
	refuse(STORE_CREATE, -EUCLEAN, "damaged", ".recover");
}

static void test_truncated(void **state)
{
	sqlite3 *db = open_or_fail(STORE_CREATE);
	struct store_error error = { "" };
	struct stat info;
	int code;

	(void)state;
	store_close(db);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(truncate(path, info.st_size / 2), 0);
	code = store_open(path, STORE_READ, &db, &error);
	if (code == 0) {
		/* the first pages are whole; what is missing shows when it is read */
		code = store_exec(db, "SELECT count(*) FROM notes, temporaries", &error);
		store_close(db);
	}
	assert_int_equal(code, -EUCLEAN);
	assert_non_null(strstr(error.text, "damaged"));
}

static void test_no_permission(void **state)
{
	(void)state;
	if (geteuid() == 0)
		skip();
	assert_int_equal(chmod(folder, 0500), 0);
	refuse(STORE_CREATE, -EACCES, "Permission denied", "--db");
	assert_int_equal(chmod(folder, 0700), 0);
	store_close(open_or_fail(STORE_CREATE));
	assert_int_equal(chmod(path, 0), 0);
	refuse(STORE_READ, -EACCES, "Permission denied", "cannot read");
	assert_int_equal(chmod(path, 0400), 0);
	refuse(STORE_WRITE, -EACCES, "Permission denied", "cannot write");
	assert_int_equal(chmod(path, 0600), 0);
}

/* Without permission to make files beside it, the database can be read once no writer is there. */
static void test_read_only_folder(void **state)
{
	sqlite3 *db;

	(void)state;
	if (geteuid() == 0)
		skip();
	store_close(open_or_fail(STORE_CREATE));
	assert_int_equal(chmod(folder, 0500), 0);
	db = open_or_fail(STORE_READ);
	assert_int_equal(number(db, "SELECT count(*) FROM runs"), 0);
	store_close(db);
	assert_int_equal(chmod(folder, 0700), 0);
}

static void test_reader_beside_writer(void **state)
{
	sqlite3 *writer = open_or_fail(STORE_CREATE), *reader;
	struct store_error error = { "" };

	(void)state;
	reader = open_or_fail(STORE_READ);
	assert_int_equal(store_begin(writer, &error), 0);
	put_some_chunk(writer, 1);
	assert_int_equal(number(reader, "SELECT count(*) FROM chunks"), 0);
	assert_int_equal(store_commit(writer, &error), 0);
	assert_int_equal(number(reader, "SELECT count(*) FROM chunks"), 1);
	assert_int_equal(number(reader, "SELECT last_ns FROM chunks"), 20);
	assert_int_equal(number(reader, "SELECT length(blob) FROM chunks"), 3);
	store_close(writer);
	store_close(reader);
}

static void test_two_writers(void **state)
{
	sqlite3 *one = open_or_fail(STORE_CREATE), *two = open_or_fail(STORE_CREATE);
	struct store_error error = { "" };

	(void)state;
	assert_int_equal(store_begin(one, &error), 0);
	put_some_chunk(one, 1);
	sqlite3_busy_timeout(two, 20);
	assert_int_equal(store_begin(two, &error), -EBUSY);
	assert_non_null(strstr(error.text, "locked"));
	assert_int_equal(store_commit(one, &error), 0);
	assert_int_equal(store_begin(two, &error), 0);
	put_some_chunk(two, 2);
	assert_int_equal(store_commit(two, &error), 0);
	assert_int_equal(number(one, "SELECT count(*) FROM chunks"), 2);
	store_close(one);
	store_close(two);
}

/* A child that opens the new database when the others do. */
static pid_t open_at(const int start[2])
{
	struct store_error error = { "" };
	sqlite3 *db;
	pid_t pid = fork();
	char byte;

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	close(start[1]);
	while (read(start[0], &byte, 1) > 0)
		;
	if (store_open(path, STORE_CREATE, &db, &error) == 0)
		_exit(0);
	fprintf(stderr, "%s\n", error.text);
	_exit(1);
}

static void test_made_by_several(void **state)
{
	enum { CHILDREN = 4 };

	(void)state;
	for (unsigned round = 0; round < 150; round++) {
		pid_t children[CHILDREN];
		int ends[2], status;
		char wal[160];

		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		for (unsigned i = 0; i < CHILDREN; i++) {
			children[i] = open_at(ends);
		}
		close(ends[1]);
		close(ends[0]);
		for (unsigned i = 0; i < CHILDREN; i++) {
			assert_int_equal(waitpid(children[i], &status, 0), children[i]);
			assert_int_equal(status, 0);
		}
		unlink(path);
		snprintf(wal, sizeof(wal), "%s-wal", path);
		unlink(wal);
		snprintf(wal, sizeof(wal), "%s-shm", path);
		unlink(wal);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(store_ending_name(PROCESS_RUNNING), "running");
	assert_string_equal(store_ending_name(PROCESS_EXITED), "exited");
	assert_string_equal(store_ending_name(PROCESS_SIGNALED), "signaled");
	assert_string_equal(store_ending_name(PROCESS_EXEC), "exec");
	assert_string_equal(store_ending_name(PROCESS_VANISHED), "vanished");
	assert_string_equal(store_ending_name(PROCESS_CUT), "cut");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_made),
		TEST(test_made_by_several),
		TEST(test_read_never_writes),
		TEST(test_missing),
		TEST(test_missing_folder),
		TEST(test_not_a_database),
		TEST(test_foreign_database),
		TEST(test_newer),
		TEST(test_damaged),
		TEST(test_truncated),
		TEST(test_no_permission),
		TEST(test_read_only_folder),
		TEST(test_reader_beside_writer),
		TEST(test_two_writers),
		TEST(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
