/*
 * Symbols of this very program: it knows where it called from. Modules that are changed, gone,
 * damaged or no files at all must cost their own names only.
 */
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <setjmp.h>
#include <signal.h>
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

#include "daemon/symbols/symbols.h"
#include "proto/store.h"

#define NOINLINE __attribute__((noinline, noclone, noipa))

static char folder[] = "/tmp/test_symbols.XXXXXX";
static char self[PATH_MAX];
static char self_id[160];
static uintptr_t self_bias;
static char db_path[PATH_MAX];

/* Places in this program whose function and line are known. */

static NOINLINE uint64_t place(void)
{
	return (uint64_t)__builtin_return_address(0) - self_bias;
}

static int plain_line, inner_line, middle_line;

static NOINLINE uint64_t plain(void)
{
	plain_line = __LINE__ + 1;
	uint64_t at = place();

	__asm__ volatile("" : "+r"(at));
	return at;
}

static inline __attribute__((always_inline)) uint64_t inner(void)
{
	inner_line = __LINE__ + 1;
	uint64_t at = place();

	__asm__ volatile("" : "+r"(at));
	return at;
}

static NOINLINE uint64_t outer(void)
{
	middle_line = __LINE__ + 1;
	uint64_t at = inner();

	__asm__ volatile("" : "+r"(at));
	return at;
}

static int find_self(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size, (void)data;
	self_bias = info->dlpi_addr;
	return 1; /* the program itself comes first */
}

/* A database as a run would have left it. */

static void sql(const char *text, ...)
{
	struct store_error error;
	sqlite3 *db;
	va_list arguments;
	char *query, *why = NULL;

	va_start(arguments, text);
	query = sqlite3_vmprintf(text, arguments);
	va_end(arguments);
	assert_int_equal(store_open(db_path, STORE_WRITE, &db, &error), 0);
	if (sqlite3_exec(db, query, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", query, why);
	sqlite3_free(query);
	store_close(db);
}

/* The query's only value as text; static storage. */
static const char *ask(const char *text, ...)
{
	static char answer[4][4096];
	static int turn;
	struct store_error error;
	sqlite3_stmt *statement;
	sqlite3 *db;
	va_list arguments;
	char *query, *out = answer[turn++ & 3];

	va_start(arguments, text);
	query = sqlite3_vmprintf(text, arguments);
	va_end(arguments);
	out[0] = '\0';
	assert_int_equal(store_open(db_path, STORE_READ, &db, &error), 0);
	assert_int_equal(sqlite3_prepare_v2(db, query, -1, &statement, NULL), SQLITE_OK);
	if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_text(statement, 0))
		snprintf(out, 4096, "%s", (const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	sqlite3_free(query);
	store_close(db);
	return out;
}

static void module(int id, const char *path, const char *build_id)
{
	sql("INSERT INTO modules VALUES(%d, %Q, %Q);"
	    "INSERT INTO mappings VALUES(1, %d, 0, 0, 0, 0, NULL)",
	    id, path, build_id, id);
}

static void frame(int module_id, uint64_t offset)
{
	sql("INSERT INTO frames(module_id, offset) VALUES(%d, %lld)", module_id, (long long)offset);
}

static struct symbols_result resolve(unsigned flags)
{
	struct symbols_result result = { 0 };
	struct store_error error;

	if (symbols_resolve(db_path, 1, flags, NULL, NULL, NULL, &result, &error) != 0)
		fail_msg("%s", error.text);
	return result;
}

static const char *in_folder(const char *name)
{
	static char path[4][PATH_MAX];
	static int turn;
	char *out = path[turn++ & 3];

	snprintf(out, PATH_MAX, "%s/%s", folder, name);
	return out;
}

static bool run(const char *format, ...)
{
	char command[3 * PATH_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	return system(command) == 0;
}

static int setup(void **state)
{
	struct store_error error;
	sqlite3 *db;

	(void)state;
	snprintf(db_path, sizeof(db_path), "%s/heaptape.db", folder);
	if (store_open(db_path, STORE_CREATE, &db, &error) != 0)
		fail_msg("%s", error.text);
	store_close(db);
	sql("INSERT INTO runs(run_id, command, cwd, started_at, state, version)"
	    " VALUES(1, 'x', %Q, 1000000000 * (unixepoch() + 10), 'complete', '0');"
	    "INSERT INTO processes(process_id, run_id, pid, executable, command, started_ns, "
	    "ending)"
	    " VALUES(1, 1, 1, 'x', 'x', 0, 'exited')",
	    folder);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return run("rm -rf %s/*", folder) ? 0 : -1;
}

static void check_place(const char *what, uint64_t offset, int depth, const char *function,
			int line)
{
	const char *got = ask("SELECT function || ' ' || line FROM frames WHERE offset = %lld"
			      " AND inline_depth = %d AND file LIKE '%%/test_symbols.c'",
			      (long long)offset, depth);
	char expected[200];

	snprintf(expected, sizeof(expected), "%s %d", function, line);
	if (strcmp(got, expected) != 0)
		fail_msg("%s, level %d: got '%s', expected '%s'", what, depth, got, expected);
}

static void check_self(const char *what)
{
	uint64_t at_plain = plain(), at_outer = outer();

	check_place(what, at_plain, 0, "plain", plain_line);
	check_place(what, at_outer, 0, "inner", inner_line);
	check_place(what, at_outer, 1, "outer", middle_line);
	assert_string_equal(ask("SELECT count(*) FROM frames i JOIN frames o"
				" ON i.outer_frame_id = o.frame_id WHERE i.offset = %lld"
				" AND i.inlined AND NOT o.inlined AND o.outer_frame_id IS NULL"
				" AND o.offset = i.offset AND o.inline_depth = 1",
				(long long)at_outer),
			    "1");
}

static void frames_of_self(int module_id)
{
	frame(module_id, plain());
	frame(module_id, outer());
}

static void test_lines_and_inlines(void **state)
{
	struct symbols_result result;

	(void)state;
	module(1, self, self_id);
	frames_of_self(1);
	frame(1, 1); /* no code there */
	frame(1, 0);
	result = resolve(0);
	assert_int_equal(result.pending, 4);
	assert_int_equal(result.resolved, 2);
	assert_int_equal(result.unknown, 2);
	assert_int_equal(result.modules, 1);
	check_self("itself");
	assert_string_equal(ask("SELECT count(*) FROM frames WHERE symbol_state = 'pending'"), "0");
	assert_string_equal(ask("SELECT count(*) FROM notes"), "0");
	/* A second time there is nothing to do, and again does no harm. */
	result = resolve(0);
	assert_int_equal(result.pending, 0);
	assert_int_equal(result.modules, 0);
	result = resolve(SYMBOLS_AGAIN);
	assert_int_equal(result.pending, 2);
	check_self("again");
}

static void test_relative_path(void **state)
{
	(void)state;
	if (!run("cp %s %s/copy", self, folder))
		skip();
	module(1, "./copy", self_id);
	frames_of_self(1);
	resolve(0);
	check_self("relative to the run's folder");
}

static void test_other_runs_wait(void **state)
{
	(void)state;
	module(1, self, self_id);
	sql("INSERT INTO modules VALUES(2, '/other', '')");
	frame(2, 4096);
	frames_of_self(1);
	assert_int_equal(resolve(0).pending, 2);
	assert_string_equal(ask("SELECT symbol_state FROM frames WHERE module_id = 2"), "pending");
}

static void test_separate_debug_file(void **state)
{
	struct symbols_result result;

	(void)state;
	if (!run("cd %s && objcopy --only-keep-debug %s copy.debug && strip -o copy %s &&"
		 " objcopy --add-gnu-debuglink=copy.debug copy",
		 folder, self, self))
		skip();
	module(1, in_folder("copy"), self_id);
	frames_of_self(1);
	assert_int_equal(resolve(0).resolved, 2);
	check_self("debug file beside");
	/* In a folder of its own, and no longer the file the link means. */
	sql("UPDATE frames SET symbol_state = 'pending', function = NULL");
	assert_true(run("cd %s && mkdir .debug && mv copy.debug .debug", folder));
	assert_int_equal(resolve(0).resolved, 2);
	check_self(".debug");
	sql("UPDATE frames SET symbol_state = 'pending', function = NULL");
	assert_true(run("cd %s/.debug && cp /bin/true copy.debug", folder));
	result = resolve(0);
	assert_int_equal(result.resolved, 0);
	assert_int_equal(result.unknown, 2);
}

static void test_checksum_without_build_id(void **state)
{
	(void)state;
	if (!run("cd %s && objcopy -R .note.gnu.build-id %s bare && objcopy --only-keep-debug bare"
		 " bare.debug && strip bare && objcopy --add-gnu-debuglink=bare.debug bare",
		 folder, self))
		skip();
	module(1, in_folder("bare"), "");
	frames_of_self(1);
	assert_int_equal(resolve(0).resolved, 2);
	check_self("by checksum");
	sql("UPDATE frames SET symbol_state = 'pending', function = NULL WHERE inline_depth = 0");
	assert_true(run("cd %s && printf x >>bare.debug", folder));
	assert_int_equal(resolve(0).resolved, 0);
}

static void test_symbol_tables(void **state)
{
	(void)state;
	if (!run("cd %s && strip -g -o names %s", folder, self))
		skip();
	module(1, in_folder("names"), self_id);
	frames_of_self(1);
	assert_int_equal(resolve(0).symbol, 2);
	assert_string_equal(ask("SELECT group_concat(function) FROM (SELECT function FROM frames"
				" WHERE line IS NULL AND file IS NULL AND symbol_state = 'symbol'"
				" ORDER BY function)"),
			    "outer,plain");
}

static void test_small_debug_data(void **state)
{
	(void)state;
	if (!run("command -v xz >/dev/null && cd %s && objcopy -S --remove-section .comment %s "
		 "mini.all"
		 " -g && strip -g -o mini.syms %s && objcopy --only-keep-debug %s mini.debug &&"
		 " objcopy -S --keep-symbol=plain --keep-symbol=outer mini.debug mini.names &&"
		 " xz -f mini.names && strip -o mini %s &&"
		 " objcopy --add-section .gnu_debugdata=mini.names.xz mini",
		 folder, self, self, self, self))
		skip();
	module(1, in_folder("mini"), self_id);
	frames_of_self(1);
	assert_int_equal(resolve(0).symbol, 2);
	assert_string_equal(ask("SELECT function FROM frames WHERE offset = %lld",
				(long long)plain()),
			    "plain");
}

static void test_replaced_file(void **state)
{
	(void)state;
	module(1, self, "0123456789abcdef0123456789abcdef01234567");
	frames_of_self(1);
	assert_int_equal(resolve(0).unknown, 2);
	assert_string_equal(
		ask("SELECT text LIKE '%%build id differs%%' FROM notes WHERE run_id = 1"), "1");
	assert_string_equal(ask("SELECT count(*) FROM notes"), "1");
}

static void test_changed_without_build_id(void **state)
{
	(void)state;
	if (!run("objcopy -R .note.gnu.build-id %s %s/bare && touch -d '+1 hour' %s/bare", self,
		 folder, folder))
		skip();
	module(1, in_folder("bare"), "");
	frames_of_self(1);
	assert_int_equal(resolve(0).unknown, 2);
	assert_string_equal(ask("SELECT text LIKE '%%changed since%%' FROM notes"), "1");
}

static void test_what_is_no_module(void **state)
{
	struct symbols_result result;

	(void)state;
	assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
	assert_true(run("cd %s && : >empty && head -c 100000 /dev/urandom >noise &&"
			" head -c 5000 %s >cut && head -c 64 %s >head && mkdir dir",
			folder, self, self));
	module(1, in_folder("fifo"), "");
	module(2, "/dev/zero", "");
	module(3, in_folder("gone"), "aa");
	module(4, in_folder("empty"), "");
	module(5, in_folder("noise"), "");
	module(6, in_folder("cut"), "");
	module(7, in_folder("head"), "");
	module(8, in_folder("dir"), "");
	module(9, "", "");
	module(10, "[vdso]", "");
	module(11, self, self_id);
	for (int id = 1; id <= 11; id++)
		frames_of_self(id);
	result = resolve(0);
	assert_int_equal(result.pending, 22);
	assert_int_equal(result.resolved, 2);
	assert_int_equal(result.unknown + result.symbol, 20);
	assert_string_equal(ask("SELECT count(*) FROM frames WHERE symbol_state = 'pending'"), "0");
	assert_true(atoi(ask("SELECT count(*) FROM notes")) >= 9);
	assert_string_equal(
		ask("SELECT function FROM frames WHERE module_id = 11 AND offset = %lld",
		    (long long)plain()),
		"plain");
}

/* Every kind of damage to a real module: the others keep their names, and all ends. */
static void test_damaged_modules(void **state)
{
	enum { COPIES = 40 };
	struct stat status;
	unsigned char *image;
	struct symbols_result result;
	unsigned seed = 1;
	int fd = open(self, O_RDONLY);

	(void)state;
	assert_true(fd >= 0 && fstat(fd, &status) == 0);
	image = malloc((size_t)status.st_size);
	assert_non_null(image);
	assert_int_equal(read(fd, image, (size_t)status.st_size), status.st_size);
	close(fd);
	for (int copy = 0; copy < COPIES; copy++) {
		char name[32];
		unsigned char *damaged = malloc((size_t)status.st_size);
		FILE *out;

		memcpy(damaged, image, (size_t)status.st_size);
		/* More and more of it; the first bytes stay, so that it is opened at all. */
		for (int i = 0; i < 1 << (copy % 14); i++)
			damaged[64 + (size_t)rand_r(&seed) % ((size_t)status.st_size - 64)] =
				(unsigned char)rand_r(&seed);
		snprintf(name, sizeof(name), "damaged%d", copy);
		out = fopen(in_folder(name), "w");
		fwrite(damaged, (size_t)status.st_size, 1, out);
		fclose(out);
		free(damaged);
		module(copy + 2, in_folder(name), "");
		frames_of_self(copy + 2);
	}
	free(image);
	module(1, self, self_id);
	frames_of_self(1);
	sql("UPDATE frames SET symbol_state = 'pending'");
	result = resolve(0);
	assert_int_equal(result.resolved + result.symbol + result.unknown, 2 * (COPIES + 1));
	assert_string_equal(ask("SELECT function FROM frames WHERE module_id = 1 AND offset = %lld",
				(long long)plain()),
			    "plain");
}

/* Two runs of one program that end together are resolved by two programs together. */
static void test_two_at_once(void **state)
{
	enum { COPIES = 8, AT_ONCE = 3 };
	pid_t children[AT_ONCE];

	(void)state;
	for (int copy = 1; copy <= COPIES; copy++) {
		char name[32];

		snprintf(name, sizeof(name), "copy%d", copy);
		if (!run("cp %s %s/%s", self, folder, name))
			skip();
		module(copy, in_folder(name), self_id);
		frames_of_self(copy);
	}
	for (int i = 0; i < AT_ONCE; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			struct symbols_result result;
			struct store_error error;

			_exit(symbols_resolve(db_path, 1, 0, NULL, NULL, NULL, &result, &error) !=
			      0);
		}
	}
	for (int i = 0; i < AT_ONCE; i++) {
		int status = -1;

		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	assert_string_equal(ask("SELECT count(*) FROM frames WHERE symbol_state = 'resolved'"),
			    "24");
	assert_string_equal(ask("SELECT count(*) FROM frames i JOIN frames o"
				" ON i.outer_frame_id = o.frame_id AND i.module_id = o.module_id"
				" WHERE i.function = 'inner' AND o.function = 'outer'"),
			    "8");
}

static void test_wrong_use(void **state)
{
	char program[] = "heaptaped", option[] = SYMBOLS_OPTION, db[] = "/nowhere/at/all.db";
	char number[] = "1", text[] = "last", again[] = "--again", other[] = "--other";

	(void)state;
	assert_int_equal(symbols_main(2, (char *[]){ program, option, NULL }), 2);
	assert_int_equal(symbols_main(4, (char *[]){ program, option, db, text, NULL }), 2);
	assert_int_equal(symbols_main(5, (char *[]){ program, option, db, number, other, NULL }),
			 2);
	assert_int_equal(symbols_main(5, (char *[]){ program, option, db, number, again, NULL }),
			 3);
}

/* Answers one place, then dies in a way; with symbol tables only it does well. */
static void dying_job(const struct symbols_request *request, struct symbols_sink *sink)
{
	struct symbol_level level = { .function = "early", .file = "/early.c", .line = 7 };

	if (request->names_only || strcmp(request->path, self) == 0) {
		symbols_module(request, sink);
		return;
	}
	sink->answer(sink, 0, SYMBOL_LINE, &level, 1);
	sink->answer(sink, 99, SYMBOL_LINE, &level, 1); /* no such place */
	if (strcmp(request->path, in_folder("crash")) == 0) {
		for (int i = 0; i < 1000; i++) /* past what a pipe's writer keeps to itself */
			sink->answer(sink, 0, SYMBOL_LINE, &level, 1);
		raise(SIGSEGV);
	}
	_exit(7);
}

static void test_worker_dies(void **state)
{
	struct symbols_result result;

	(void)state;
	if (!run("cd %s && cp %s crash && cp %s leave", folder, self, self))
		skip();
	module(1, self, self_id);
	module(2, in_folder("crash"), self_id);
	module(3, in_folder("leave"), self_id);
	for (int id = 1; id <= 3; id++)
		frames_of_self(id);
	symbols_worker_job = dying_job;
	result = resolve(0);
	symbols_worker_job = symbols_module;
	assert_int_equal(result.pending, 6);
	assert_int_equal(result.resolved + result.symbol, 6);
	assert_int_equal(result.symbol, 3);
	assert_string_equal(ask("SELECT count(*) FROM frames WHERE function = 'early'"), "1");
	assert_string_equal(ask("SELECT count(*) FROM notes WHERE text LIKE '%%signal 11%%'"
				" AND text LIKE '%%1 of 2 places%%'"),
			    "1");
	assert_string_equal(ask("SELECT count(*) FROM notes"), "2");
}

static void garbage_job(const struct symbols_request *request, struct symbols_sink *sink)
{
	char noise[5000];

	(void)request, (void)sink;
	memset(noise, 0xa5, sizeof(noise));
	/* The pipe is whichever descriptor beyond the standard ones takes it. */
	for (int fd = 3; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0 && lseek(fd, 0, SEEK_CUR) < 0)
			(void)!write(fd, noise, sizeof(noise));
	_exit(0);
}

static void test_worker_talks_nonsense(void **state)
{
	(void)state;
	module(1, self, self_id);
	frames_of_self(1);
	symbols_worker_job = garbage_job;
	assert_int_equal(resolve(0).unknown, 2);
	symbols_worker_job = symbols_module;
	assert_string_equal(ask("SELECT text LIKE '%%nonsense%%' FROM notes"), "1");
}

static void test_jit_map(void **state)
{
	char path[64], id[64];
	FILE *map;

	(void)state;
	/* A number no process has: the file lies in a folder everybody writes to. */
	symbols_jit_module(0x7ffffff0 + getpid() % 10, 1, path, id);
	assert_string_equal(id, "process-1");
	map = fopen(path, "w");
	if (!map)
		skip();
	fputs("1000 100 LazyCompile:*work /app/main.js:12:5\n"
	      "nonsense\n"
	      "2000 10 early\n"
	      "2000 10 late\n"
	      "3000 20 py::load:/app/a.py\n",
	      map);
	fclose(map);
	module(1, path, id);
	for (int at = 1; at <= 4; at++)
		frame(1, (uint64_t)at * 0x1000 + 8);
	sql("UPDATE runs SET started_at = 1000000000 * (unixepoch() - 10)");
	resolve(SYMBOLS_LOW);
	/* While it runs its map may grow; what has a name is not looked up again. */
	assert_string_equal(ask("SELECT symbol_state FROM frames WHERE offset = 16392"), "pending");
	map = fopen(path, "a");
	fputs("1000 100 other\n5000 10 grown\n", map);
	fclose(map);
	frame(1, 0x5008);
	assert_int_equal(resolve(SYMBOLS_LOW).pending, 2);
	sql("UPDATE processes SET ended_ns = 9");
	assert_int_equal(resolve(0).pending, 1);
	unlink(path);
	assert_string_equal(
		ask("SELECT group_concat(x) FROM (SELECT coalesce(function, '?') || ' ' ||"
		    " coalesce(file, '') || ' ' || coalesce(line, '') || ' ' || symbol_state"
		    " AS x FROM frames ORDER BY offset)"),
		"work /app/main.js 12 resolved,late   symbol,load /app/a.py  resolved,"
		"?   unknown,grown   symbol");
}

/* A map older than the process belongs to an earlier one of the same number. */
static void test_stale_jit_map(void **state)
{
	(void)state;
	if (!run("printf '1000 100 other\\n' >%s/perf-1.map && touch -d '-1 hour' %s/perf-1.map",
		 folder, folder))
		skip();
	module(1, in_folder("perf-1.map"), "process-1");
	frame(1, 0x1008);
	sql("UPDATE processes SET ended_ns = 9");
	resolve(0);
	assert_string_equal(ask("SELECT symbol_state FROM frames"), "unknown");
}

struct collected {
	struct symbols_sink sink;
	struct symbols_store *store;
};

static void store_answer(struct symbols_sink *sink, size_t index, enum symbol_state answer,
			 const struct symbol_level *levels, unsigned count)
{
	struct collected *collected = (struct collected *)sink;

	assert_int_equal(
		symbols_store_frame(collected->store, (int64_t)index, answer, levels, count), 0);
}

/* Told to a pipe, the answers are those that would stand in the database, which nobody writes to. */
static void test_told(void **state)
{
	struct symbols_store store;
	struct symbols_worker reader = { .fd = -1 };
	struct symbols_result result;
	struct store_error error;
	struct symbols_pipe told;
	struct collected collected = { .store = &store };
	FILE *file = tmpfile();
	sqlite3 *db;

	(void)state;
	assert_non_null(file);
	module(1, self, self_id);
	frames_of_self(1);
	symbols_pipe_init(&told, file);
	assert_int_equal(
		symbols_resolve(db_path, 1, SYMBOLS_LOW, &told, NULL, NULL, &result, &error), 0);
	assert_int_equal(result.resolved, result.pending);
	assert_string_equal(ask("SELECT count(*) FROM frames WHERE symbol_state <> 'pending'"),
			    "0");
	reader.fd = dup(fileno(file));
	fclose(file);
	lseek(reader.fd, 0, SEEK_SET);
	collected.sink = (struct symbols_sink){ store_answer, NULL };
	assert_int_equal(store_open(db_path, STORE_WRITE, &db, &error), 0);
	assert_int_equal(symbols_store_init(&store, db), 0);
	while (symbols_worker_read(&reader, &collected.sink))
		;
	assert_false(reader.failed);
	symbols_worker_release(&reader);
	symbols_store_release(&store);
	store_close(db);
	assert_string_equal(ask("SELECT count(*) FROM frames i JOIN frames o"
				" ON i.outer_frame_id = o.frame_id AND i.module_id = o.module_id"
				" WHERE i.function = 'inner' AND o.function = 'outer'"),
			    "1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines_and_inlines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relative_path, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_runs_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_separate_debug_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_checksum_without_build_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_symbol_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(test_small_debug_data, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaced_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_without_build_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_module, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_modules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_use, setup, teardown),
		cmocka_unit_test_setup_teardown(test_worker_dies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_worker_talks_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_jit_map, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale_jit_map, setup, teardown),
		cmocka_unit_test_setup_teardown(test_told, setup, teardown),
	};
	int fd, failed;

	if (!realpath("/proc/self/exe", self) || !mkdtemp(folder))
		return 1;
	dl_iterate_phdr(find_self, NULL);
	fd = symbols_open(self);
	symbols_build_id(fd, self_id, sizeof(self_id));
	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
