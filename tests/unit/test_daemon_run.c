/* Runs of which the database does not take everything, and what they say of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/process.h"
#include "daemon/run.h"

static struct daemon the_daemon;
static char db_path[64];
static int64_t done_run_id;

static void run_done(struct daemon *daemon, int64_t run_id, bool has_stacks)
{
	(void)daemon;
	(void)has_stacks;
	done_run_id = run_id;
}

static const struct daemon_calls calls = { .undone = process_cut_all, .run_done = run_done };

static int begin(void **unused)
{
	struct store_error error;

	(void)unused;
	batch_setup();
	done_run_id = 0;
	snprintf(db_path, sizeof(db_path), "/tmp/heaptape-test-%d.db", (int)getpid());
	unlink(db_path);
	assert_int_equal(daemon_open(&the_daemon, db_path, &calls, &error), 0);
	return 0;
}

static int end(void **unused)
{
	(void)unused;
	daemon_close(&the_daemon);
	unlink(db_path);
	return 0;
}

/* One number out of the database. */
static int64_t ask(const char *sql)
{
	sqlite3_stmt *statement;
	int64_t value;

	assert_int_equal(sqlite3_prepare_v2(the_daemon.writer.db, sql, -1, &statement, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return value;
}

/* From now on nothing can be written, or everything again. */
static void writable(bool can)
{
	sqlite3_exec(the_daemon.writer.db, can ? "PRAGMA query_only=OFF" : "PRAGMA query_only=ON",
		     NULL, NULL, NULL);
}

static struct run *start(void)
{
	Heaptape__RunStart message = HEAPTAPE__RUN_START__INIT;
	struct run *run = NULL;

	assert_int_equal(run_start(&the_daemon, &message, NULL, &run), 0);
	return run;
}

static void end_run(struct run *run)
{
	Heaptape__RunEnd message = HEAPTAPE__RUN_END__INIT;

	run_end(run, &message);
	run->quiet_ns = 0;
}

/* A process of the run says Hello, with 16 as its only size class. */
static struct process *hello(struct run *run, uint32_t pid, bool forked)
{
	Heaptape__Hello message = HEAPTAPE__HELLO__INIT;
	struct process *process = NULL;
	struct run *its_run = NULL;
	uint32_t classes[] = { 16 };
	const char *why = "";

	message.pid = pid;
	message.ticks = 1;
	message.forked = forked;
	message.run_token = run->token;
	message.executable = (char *)"/bin/test";
	message.stacks = true;
	message.size_classes = classes;
	message.n_size_classes = 1;
	assert_int_equal(run_of_process(&the_daemon, &message, &its_run), 0);
	assert_ptr_equal(its_run, run);
	assert_int_equal(process_new(&the_daemon, run, &message, -1, 0, -1, &process, &why), 0);
	return process;
}

/* Nobody of it lives; but a process of somebody else's that is in the middle of exec might be one. */
static void check(struct run *run)
{
	do
		run_look(run);
	while (run->others && usleep(1000) == 0);
	assert_true(run_check(run, false));
}

/* It ends as it should. */
static void finish(struct process *process)
{
	process->how = PROCESS_EXITED;
	process_finish(process);
}

/* The process allocates a block of ten bytes, by stack node 1, which is at `pc`. */
static void allocate(struct process *process, uint64_t seq, uint64_t pc)
{
	Heaptape__StackNodes nodes = HEAPTAPE__STACK_NODES__INIT;
	Heaptape__EventBatch batch = HEAPTAPE__EVENT_BATCH__INIT;
	uint8_t kind = EVENT_MALLOC, class = 1;
	uint64_t ticks = 10 + seq, address = 0x1000 + 16 * seq;
	uint32_t size = 10, stack = 1, parent = 0;
	struct slab *slabs = NULL;

	nodes.first_node = 1;
	nodes.n_parents = nodes.n_pcs = 1;
	nodes.parents = &parent;
	nodes.pcs = &pc;
	assert_int_equal(process_nodes(process, &nodes), 0);
	batch.thread = batch.count = 1;
	batch.first_seq = seq;
	batch.kinds = (ProtobufCBinaryData){ 1, &kind };
	batch.classes = (ProtobufCBinaryData){ 1, &class };
	batch.ticks = &ticks;
	batch.addresses = &address;
	batch.sizes = &size;
	batch.stacks = &stack;
	batch.n_ticks = batch.n_addresses = batch.n_sizes = batch.n_stacks = 1;
	assert_int_equal(process_batch(process, &batch, &slabs), 0);
	slab_release(&slabs);
}

/* A run's end cannot be written, and is tried again later: but a process has come since. */
static void test_end_unwritten(void **unused)
{
	struct run *run = start();
	struct process *process;

	(void)unused;
	finish(hello(run, 1, false));
	end_run(run);
	writable(false);
	check(run);
	assert_ptr_equal(the_daemon.runs, run);
	assert_true(run->unwritten);
	writable(true);
	writer_retry(&the_daemon.writer);
	process = hello(run, 2, false);
	run->retry_ns = 0;
	check(run);
	assert_ptr_equal(the_daemon.runs, run);
	assert_int_equal(ask("SELECT state = 'running' FROM runs"), 1);
	allocate(process, 0, 0x1000);
	finish(process);
	run->quiet_ns = run->retry_ns = 0;
	check(run);
	assert_null(the_daemon.runs);
	assert_int_equal(ask("SELECT state = 'cut' FROM runs"), 1);
	assert_int_equal(ask("SELECT count(*) FROM processes WHERE ending = 'running'"), 0);
}

/* What the command said of the program is not lost when the run's end has to be written again. */
static void test_figures_unwritten(void **unused)
{
	Heaptape__RunEnd message = HEAPTAPE__RUN_END__INIT;
	struct run *run = start();

	(void)unused;
	finish(hello(run, 1, false));
	message.pid = 1;
	message.exit_signal = 6;
	message.user_ns = 5;
	message.system_ns = 7;
	message.max_rss_bytes = 11;
	run_end(run, &message);
	run->quiet_ns = 0;
	writable(false);
	check(run);
	assert_true(run->unwritten);
	writable(true);
	run->retry_ns = 0;
	check(run);
	assert_null(the_daemon.runs);
	assert_int_equal(
		ask("SELECT count(*) FROM runs WHERE exit_signal = 6 AND exit_code IS NULL "
		    "AND user_ns = 5 AND system_ns = 7 AND max_rss_bytes = 11"),
		1);
}

/* The end of a process was not written, and then the database can be written again. */
static void test_process_unwritten(void **unused)
{
	struct run *run = start(), *other;
	struct process *process = hello(run, 1, false);

	(void)unused;
	writable(false);
	finish(process);
	writable(true);
	other = start();
	end_run(run);
	check(run);
	assert_int_equal(done_run_id, 1);
	assert_int_equal(ask("SELECT state = 'cut' FROM runs WHERE run_id = 1"), 1);
	assert_int_equal(ask("SELECT ending = 'cut' FROM processes"), 1);
	end_run(other);
	check(other);
	assert_int_equal(ask("SELECT state = 'complete' FROM runs WHERE run_id = 2"), 1);
}

/* A transaction is undone, and its numbers are given to other rows. */
static void test_ids_again(void **unused)
{
	struct run *run = start(), *other;
	struct process *first = hello(run, 1, false), *second;

	(void)unused;
	allocate(first, 0, 0x1000);
	chunks_show(first);
	writer_fail(&the_daemon.writer, "write to");
	other = start();
	second = hello(other, 2, false);
	allocate(second, 0, 0x2000);
	chunks_show(second);
	assert_int_equal(writer_commit(&the_daemon.writer), 0);
	assert_true(first->cut);
	assert_false(second->cut);
	allocate(first, 1, 0x1000);
	finish(first);
	finish(second);
	end_run(run);
	end_run(other);
	check(run);
	check(other);
	assert_int_equal(ask("SELECT count(*) FROM chunks"), 1);
	assert_int_equal(ask("SELECT events FROM processes WHERE pid = 2"), 1);
	assert_int_equal(ask("SELECT lost_events FROM processes WHERE pid = 1"), 2);
	assert_int_equal(
		ask("SELECT stack_id FROM stack_totals WHERE process_id = 1 AND allocations > 0"),
		0);
	assert_int_equal(
		ask("SELECT count(*) FROM stack_totals t LEFT JOIN stacks s USING (stack_id) "
		    "WHERE t.stack_id <> 0 AND s.stack_id IS NULL"),
		0);
	assert_int_equal(ask("SELECT count(*) FROM stacks WHERE parent_stack_id NOT IN "
			     "(SELECT stack_id FROM stacks UNION SELECT 0)"),
			 0);
	assert_int_equal(ask("SELECT state = 'cut' FROM runs WHERE run_id = 1"), 1);
	assert_int_equal(ask("SELECT state = 'complete' FROM runs WHERE run_id = 2"), 1);
}

static void test_forks_missing(void **unused)
{
	struct run *run = start();

	(void)unused;
	finish(hello(run, 1, false));
	finish(hello(run, 2, true));
	run_add_forks(run, 1, 3, 0);
	end_run(run);
	check(run);
	assert_int_equal(ask("SELECT state = 'incomplete' FROM runs"), 1);
	assert_int_equal(ask("SELECT count(*) FROM notes WHERE text LIKE "
			     "'forked children that ended before their records began%: 2'"),
			 1);
}

/* Programs go on after their daemon was killed: its successor makes one run of them. */
static void test_token_of_before(void **unused)
{
	Heaptape__Hello message = HEAPTAPE__HELLO__INIT;
	struct run *first, *second;

	(void)unused;
	message.executable = (char *)"/bin/test";
	message.run_token = 77;
	assert_int_equal(run_of_process(&the_daemon, &message, &first), 0);
	message.pid = 2;
	assert_int_equal(run_of_process(&the_daemon, &message, &second), 0);
	assert_ptr_equal(first, second);
	finish(hello(first, 1, false));
	first->quiet_ns = 0;
	check(first);
	assert_int_equal(ask("SELECT count(*) FROM runs WHERE state = 'complete'"), 1);
}

/* What a process had not sent when it was killed is in its memory, if it shares one. */
static void test_no_memory(void **unused)
{
	Heaptape__Hello message = HEAPTAPE__HELLO__INIT;
	struct run *run = start();
	struct process *process = hello(run, 1, false);

	(void)unused;
	allocate(process, 0, 0x1000);
	process_finish(process);
	end_run(run);
	check(run);
	assert_int_equal(ask("SELECT state = 'incomplete' FROM runs"), 1);
	assert_int_equal(ask("SELECT count(*) FROM notes WHERE text LIKE '%shared no memory%'"), 1);
	run = start();
	message.executable = (char *)"/bin/test";
	message.forked = 1;
	run_refused(run, &message, "it has no memory to record in");
	run_add_forks(run, 0, 1, 0);
	end_run(run);
	check(run);
	assert_int_equal(ask("SELECT state = 'incomplete' FROM runs WHERE run_id = 2"), 1);
	assert_int_equal(ask("SELECT count(*) FROM notes WHERE run_id = 2"), 1);
}

/* What the command says of the program's end. */
static void test_program_end(void **unused)
{
	Heaptape__RunEnd message = HEAPTAPE__RUN_END__INIT;
	struct run *run = start();

	(void)unused;
	finish(hello(run, 1, false));
	message.pid = 1;
	message.exit_code = 3;
	message.user_ns = 5;
	message.system_ns = 7;
	message.max_rss_bytes = 11;
	run_end(run, &message);
	run->quiet_ns = 0;
	check(run);
	assert_int_equal(
		ask("SELECT count(*) FROM runs WHERE exit_code = 3 AND exit_signal IS NULL "
		    "AND user_ns = 5 AND system_ns = 7 AND max_rss_bytes = 11 AND "
		    "ended_at >= started_at"),
		1);
	run = start();
	message.exit_signal = 11;
	run_end(run, &message);
	run->quiet_ns = 0;
	check(run);
	assert_int_equal(ask("SELECT exit_signal FROM runs WHERE exit_code IS NULL"), 11);
}

/* The database fails once more as a process that was cut before is written: what others had not
 * committed is undone with it. */
static void test_failure_at_the_end(void **unused)
{
	const unsigned many = 9000;
	struct run *run = start();
	struct process *first = hello(run, 1, false), *second;

	(void)unused;
	allocate(first, 0, 0x1000);
	chunks_show(first);
	writer_fail(&the_daemon.writer, "write to");
	process_cut_all(&the_daemon);
	writer_retry(&the_daemon.writer);
	second = hello(run, 2, false);
	for (unsigned i = 0; i < many; i++) /* too many for a chunk that is written anew */
		allocate(second, i, 0x2000);
	chunks_show(second);
	writable(false);
	finish(first);
	writable(true);
	allocate(second, many, 0x2000);
	finish(second);
	assert_int_equal(writer_commit(&the_daemon.writer), 0);
	end_run(run);
	check(run);
	assert_int_equal(ask("SELECT count(*) FROM processes p WHERE events <> (SELECT "
			     "total(events) FROM chunks c WHERE c.process_id = p.process_id)"),
			 0);
	assert_int_equal(ask("SELECT events + lost_events FROM processes WHERE pid = 2"), many + 1);
	assert_int_equal(ask("SELECT state = 'cut' FROM runs"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_end_unwritten, begin, end),
		cmocka_unit_test_setup_teardown(test_figures_unwritten, begin, end),
		cmocka_unit_test_setup_teardown(test_process_unwritten, begin, end),
		cmocka_unit_test_setup_teardown(test_ids_again, begin, end),
		cmocka_unit_test_setup_teardown(test_forks_missing, begin, end),
		cmocka_unit_test_setup_teardown(test_token_of_before, begin, end),
		cmocka_unit_test_setup_teardown(test_no_memory, begin, end),
		cmocka_unit_test_setup_teardown(test_program_end, begin, end),
		cmocka_unit_test_setup_teardown(test_failure_at_the_end, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
