/* A process as the daemon sees it: events of several threads, through the socket and out of the
 * shared memory, become rows in order of time, each once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/process.h"
#include "daemon/run.h"

#define THREADS 3u

static struct daemon the_daemon;
static struct run the_run;
static struct process *process;
static char db_path[64];
static int ring_fd;
static struct ring_head ring_head;

static const struct daemon_calls calls = { .undone = process_cut_all };

static int begin(void **unused)
{
	Heaptape__Hello hello = HEAPTAPE__HELLO__INIT;
	uint32_t classes[] = { 16, 32, 64 };
	struct store_error error;
	const char *why;

	(void)unused;
	batch_setup();
	memset(&the_run, 0, sizeof(the_run));
	snprintf(db_path, sizeof(db_path), "/tmp/heaptape-test-%d.db", (int)getpid());
	unlink(db_path);
	assert_int_equal(daemon_open(&the_daemon, db_path, &calls, &error), 0);
	the_run.daemon = &the_daemon;
	the_run.run_id = 1;

	ring_fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(ring_fd >= 0);
	ring_head = (struct ring_head){ .magic = RING_MAGIC,
					.version = RING_VERSION,
					.buffer_count = THREADS,
					.buffer_stride_bytes = sizeof(struct ring_buffer),
					.buffers_offset = 4096,
					.buffers_used = THREADS,
					.nodes_used = 1 };
	ring_head.nodes_offset = 4096 + THREADS * sizeof(struct ring_buffer);
	assert_int_equal(ftruncate(ring_fd, (off_t)ring_head.nodes_offset), 0);
	assert_int_equal(pwrite(ring_fd, &ring_head, sizeof(ring_head), 0), sizeof(ring_head));
	assert_int_equal(fcntl(ring_fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);

	hello.wire_version = 1;
	hello.pid = 1;
	hello.executable = (char *)"/bin/test";
	hello.size_classes = classes;
	hello.n_size_classes = 3;
	assert_int_equal(
		process_new(&the_daemon, &the_run, &hello, dup(ring_fd), 0, -1, &process, &why), 0);
	return 0;
}

static int end(void **unused)
{
	(void)unused;
	daemon_close(&the_daemon);
	free(the_run.processes);
	close(ring_fd);
	unlink(db_path);
	return 0;
}

/* A column of mallocs and frees; details of the frees say thread `by`. */
struct events {
	uint32_t count, details_count;
	uint8_t kinds[64], classes[64];
	uint64_t ticks[64], addresses[64], details[128];
	uint32_t sizes[64], stacks[64];
};

static void add_malloc(struct events *events, uint64_t ticks, uint64_t address)
{
	uint32_t i = events->count++;

	events->kinds[i] = EVENT_MALLOC;
	events->classes[i] = 1;
	events->ticks[i] = ticks;
	events->addresses[i] = address;
	events->sizes[i] = 10;
	events->stacks[i] = 0;
}

static void add_free(struct events *events, uint64_t ticks, uint64_t address, uint64_t allocated,
		     uint32_t by)
{
	add_malloc(events, ticks, address);
	events->kinds[events->count - 1] = EVENT_FREE;
	events->details[events->details_count++] = allocated;
	events->details[events->details_count++] = by;
}

static int send(uint32_t thread, uint64_t first_seq, struct events *events)
{
	Heaptape__EventBatch message = HEAPTAPE__EVENT_BATCH__INIT;
	struct slab *slabs = NULL;
	int error;

	/* The columns must live as long as the batch: in slabs, as after decoding. */
	struct events *copy = slab_take(&slabs, sizeof(*copy));

	assert_non_null(copy);
	*copy = *events;
	message.thread = thread;
	message.first_seq = first_seq;
	message.count = copy->count;
	message.kinds = (ProtobufCBinaryData){ copy->count, copy->kinds };
	message.classes = (ProtobufCBinaryData){ copy->count, copy->classes };
	message.ticks = copy->ticks;
	message.addresses = copy->addresses;
	message.sizes = copy->sizes;
	message.stacks = copy->stacks;
	message.details = copy->details;
	message.n_ticks = message.n_addresses = message.n_sizes = message.n_stacks = copy->count;
	message.n_details = copy->details_count;
	error = process_batch(process, &message, &slabs);
	slab_release(&slabs);
	return error;
}

/* The thread's buffer holds these, after some that were dropped. */
static void buffer_after(uint32_t thread, uint64_t first_seq, const struct events *events,
			 uint64_t dropped_from, uint64_t dropped_to)
{
	static struct ring_buffer ring;

	memset(&ring, 0, sizeof(ring));
	ring.dropped_from = dropped_from;
	ring.dropped_to = dropped_to;
	ring.thread = thread;
	ring.tid = 100 + thread;
	ring.first_seq = first_seq;
	ring.count = events->count;
	ring.details_used = events->details_count;
	memcpy(ring.ticks, events->ticks, sizeof(events->ticks));
	memcpy(ring.addresses, events->addresses, sizeof(events->addresses));
	memcpy(ring.details, events->details, sizeof(events->details));
	memcpy(ring.sizes, events->sizes, sizeof(events->sizes));
	memcpy(ring.stacks, events->stacks, sizeof(events->stacks));
	memcpy(ring.kinds, events->kinds, sizeof(events->kinds));
	memcpy(ring.classes, events->classes, sizeof(events->classes));
	assert_int_equal(pwrite(ring_fd, &ring, sizeof(ring),
				(off_t)(4096 + (thread - 1) * sizeof(ring))),
			 sizeof(ring));
}

static void buffer(uint32_t thread, uint64_t first_seq, const struct events *events)
{
	buffer_after(thread, first_seq, events, 0, 0);
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

/* Checks that the stored rows are in order of time and every thread's are complete; counts them. */
static unsigned check_rows(const uint64_t *gaps)
{
	uint64_t next[THREADS + 1] = { 0 }, last_ns = 0;
	struct chunk_reader *reader = chunk_reader_new();
	struct chunk_columns columns;
	sqlite3_stmt *statement;
	unsigned count = 0;

	assert_int_equal(sqlite3_prepare_v2(the_daemon.writer.db,
					    "SELECT blob FROM chunks ORDER BY chunk_id", -1,
					    &statement, NULL),
			 SQLITE_OK);
	while (sqlite3_step(statement) == SQLITE_ROW) {
		assert_int_equal(chunk_reader_decode(reader, sqlite3_column_blob(statement, 0),
						     (size_t)sqlite3_column_bytes(statement, 0),
						     CHUNK_ALL, &columns),
				 0);
		for (unsigned i = 0; i < columns.events; i++) {
			uint32_t thread = columns.thread[i];

			assert_true(columns.at_ns[i] >= last_ns);
			last_ns = columns.at_ns[i];
			assert_true(thread >= 1 && thread <= THREADS);
			if (gaps && next[thread] == gaps[0])
				next[thread] += gaps[1];
			assert_int_equal(columns.seq[i], next[thread]);
			next[thread]++;
			count++;
		}
	}
	sqlite3_finalize(statement);
	chunk_reader_free(reader);
	return count;
}

static void finish(void)
{
	process_finish(process);
	assert_int_equal(writer_commit(&the_daemon.writer), 0);
	process = NULL;
}

static void test_threads_by_time(void **unused)
{
	uint64_t state = 7, ticks[THREADS + 1] = { 0 }, seq[THREADS + 1] = { 0 };
	unsigned sent = 0;

	(void)unused;
	/* Batches come in any order of threads, each in order within its own. */
	for (unsigned round = 0; round < 300; round++) {
		struct events events = { 0 };
		uint32_t thread;

		state = state * 6364136223846793005u + 1442695040888963407u;
		thread = 1 + (uint32_t)(state >> 40) % THREADS;
		for (unsigned i = 0; i < 1 + (state >> 50) % 60; i++) {
			ticks[thread] += 1 + (state >> (i % 40)) % 50;
			add_malloc(&events, ticks[thread], 16 * (ticks[thread] * 8 + thread));
		}
		assert_int_equal(send(thread, seq[thread], &events), 0);
		seq[thread] += events.count;
		sent += events.count;
	}
	finish();
	assert_int_equal(check_rows(NULL), sent);
	assert_int_equal(ask("SELECT late_events FROM processes"), 0);
	assert_int_equal(ask("SELECT lost_events FROM processes"), 0);
	assert_int_equal(ask("SELECT events FROM processes"), sent);
	assert_int_equal(ask("SELECT sum(events) FROM threads"), sent);
}

static void test_memory_then_socket(void **unused)
{
	struct events one = { 0 }, two = { 0 };

	(void)unused;
	for (unsigned i = 0; i < 20; i++)
		add_malloc(&one, 100 + 10 * i, 0x1000 + 16 * i);
	for (unsigned i = 0; i < 20; i++)
		add_malloc(&two, 105 + 10 * i, 0x8000 + 16 * i);
	/* Some lie in the buffers, and are seen there ... */
	one.count = 12;
	buffer(1, 0, &one);
	two.count = 5;
	buffer(2, 0, &two);
	process_poll(process);
	one.count = 20;
	two.count = 9;
	buffer(2, 0, &two);
	process_poll(process);
	/* ... then come through the socket, with more. */
	assert_int_equal(send(1, 0, &one), 0);
	two.count = 20;
	assert_int_equal(send(2, 0, &two), 0);
	/* The rest is only in the memory when the process dies. */
	memset(&one, 0, sizeof(one));
	for (unsigned i = 0; i < 7; i++)
		add_malloc(&one, 1000 + i, 0x20000 + 16 * i);
	buffer(1, 20, &one);
	finish();
	assert_int_equal(check_rows(NULL), 47);
	assert_int_equal(ask("SELECT late_events FROM processes"), 0);
	assert_int_equal(ask("SELECT lost_events FROM processes"), 0);
	assert_int_equal(ask("SELECT tid FROM threads WHERE number = 2"), 102);
	assert_int_equal(ask("SELECT ending = 'vanished' FROM processes"), 1);
}

static void given_numbers(uint32_t threads)
{
	ring_head.threads = threads;
	assert_int_equal(pwrite(ring_fd, &ring_head, sizeof(ring_head), 0), sizeof(ring_head));
}

static void end_of(uint32_t thread, uint64_t ticks, uint64_t events)
{
	Heaptape__ThreadEnd message = HEAPTAPE__THREAD_END__INIT;

	message.thread = thread;
	message.ticks = ticks;
	message.events = events;
	assert_int_equal(process_thread_end(process, &message), 0);
}

/* A thread came and went: its events are in the socket, its buffer is another thread's, or nobody's.
 * Those of others are not taken before. */
static void test_threads_gone(void **unused)
{
	struct events one = { 0 }, two = { 0 }, four = { 0 };

	(void)unused;
	for (unsigned i = 0; i < 20; i++)
		add_malloc(&one, 100 + 10 * i, 0x1000 + 16 * i);
	for (unsigned i = 0; i < 10; i++)
		add_malloc(&two, 105 + 10 * i, 0x8000 + 16 * i);
	for (unsigned i = 0; i < 10; i++)
		add_malloc(&four, 107 + 10 * i, 0x9000 + 16 * i);
	given_numbers(3);
	buffer(1, 0, &one);
	buffer(3, 0, &(struct events){ 0 });
	process_poll(process);
	assert_int_equal(process->totals.events, 0);
	/* Another one every time the memory is looked at must not hold things up. */
	given_numbers(4);
	process_poll(process);
	assert_int_equal(process->totals.events, 0);
	assert_int_equal(send(2, 0, &two), 0);
	end_of(2, 200, 10);
	merge_run(process);
	assert_int_equal(process->totals.events, 30);
	/* By now it is certain that the fourth one was not there before. */
	one.count = 0;
	for (unsigned i = 0; i < 20; i++)
		add_malloc(&one, process->unseen_ticks + 1 + 10 * i, 0x4000 + 16 * i);
	for (unsigned i = 0; i < 10; i++)
		four.ticks[i] = process->unseen_ticks + 5 + 10 * i;
	buffer(1, 20, &one);
	process_poll(process);
	assert_int_equal(process->totals.events, 30);
	assert_int_equal(send(4, 0, &four), 0);
	finish();
	assert_int_equal(ask("SELECT late_events FROM processes"), 0);
	assert_int_equal(ask("SELECT lost_events FROM processes"), 0);
	assert_int_equal(ask("SELECT events FROM processes"), 60);
}

/* Threads that have ended are no reason to wait longer before the memory is looked at. */
static void test_many_ended(void **unused)
{
	uint64_t ticks = 100;

	(void)unused;
	given_numbers(301);
	buffer(1, 0, &(struct events){ 0 });
	process_thread(process, 1, true);
	for (uint32_t thread = 2; thread <= 301; thread++) {
		struct events events = { 0 };

		for (unsigned i = 0; i < 64; i++, ticks++)
			add_malloc(&events, ticks, 16 * ticks);
		assert_int_equal(send(thread, 0, &events), 0);
		end_of(thread, ticks, 64);
		merge_run(process);
	}
	merge_run(process);
	assert_true(process->pending_events < 300 * 64);
	finish();
	assert_int_equal(ask("SELECT late_events FROM processes"), 0);
	assert_int_equal(ask("SELECT events FROM processes"), 300 * 64);
}

/* A buffer that was just sent and is not yet begun anew does not say that nothing is to come. */
static void test_restarting(void **unused)
{
	struct events one = { 0 }, two = { 0 };
	struct events restarting = { .count = RING_RESTARTS };

	(void)unused;
	for (unsigned i = 0; i < 20; i++)
		add_malloc(&one, 100 + 10 * i, 0x1000 + 16 * i);
	for (unsigned i = 0; i < 20; i++)
		add_malloc(&two, 105 + 10 * i, 0x8000 + 16 * i);
	given_numbers(2);
	buffer(1, 0, &one);
	buffer(2, 0, &restarting);
	process_poll(process);
	assert_int_equal(process->totals.events, 0);
	assert_int_equal(send(2, 0, &two), 0);
	two.count = 0;
	buffer(2, 20, &two);
	process_poll(process);
	assert_int_equal(process->totals.events, 40);
	finish();
	assert_int_equal(ask("SELECT late_events FROM processes"), 0);
	assert_int_equal(ask("SELECT lost_events FROM processes"), 0);
	assert_int_equal(ask("SELECT events FROM processes"), 40);
}

/* Where a block is freed is a stack, too, that must be known first. */
static void test_free_stacks(void **unused)
{
	Heaptape__StackNodes nodes = HEAPTAPE__STACK_NODES__INIT;
	struct chunk_reader *reader = chunk_reader_new();
	struct chunk_columns columns;
	struct events events = { 0 };
	sqlite3_stmt *statement;
	uint32_t parent = 0;
	uint64_t pc = 0x1000;

	(void)unused;
	add_malloc(&events, 100, 0x1000);
	add_free(&events, 110, 0x1000, 100, 1);
	events.details[1] |= 1ull << 32;
	buffer(1, 0, &events);
	process_poll(process);
	assert_int_equal(process->totals.events, 1);
	nodes.first_node = 1;
	nodes.n_parents = nodes.n_pcs = 1;
	nodes.parents = &parent;
	nodes.pcs = &pc;
	assert_int_equal(process_nodes(process, &nodes), 0);
	process_poll(process);
	assert_int_equal(process->totals.events, 2);
	finish();
	assert_int_equal(check_rows(NULL), 2);
	assert_int_equal(sqlite3_prepare_v2(the_daemon.writer.db, "SELECT blob FROM chunks", -1,
					    &statement, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	assert_int_equal(chunk_reader_decode(reader, sqlite3_column_blob(statement, 0),
					     (size_t)sqlite3_column_bytes(statement, 0), CHUNK_ALL,
					     &columns),
			 0);
	assert_int_equal(columns.events, 2);
	assert_int_equal(columns.freed_stack_id[0], 0);
	assert_int_equal(columns.freed_stack_id[1], ask("SELECT max(stack_id) FROM stacks"));
	assert_int_equal(columns.allocated_by[1], 1);
	sqlite3_finalize(statement);
	chunk_reader_free(reader);
}

/* Threads that died before their nodes were complete, in any number, hide none of the others. */
static void test_nodes_with_holes(void **unused)
{
	struct events events = { 0 };
	unsigned complete = 0;

	(void)unused;
	ring_head.node_capacity = ring_head.nodes_used = 2000;
	assert_int_equal(ftruncate(ring_fd, (off_t)(ring_head.nodes_offset +
						    2000 * sizeof(struct ring_node))),
			 0);
	for (unsigned i = 1; i < 2000; i++) {
		struct ring_node node = { .pc = 0x1000 + i };

		if (i % 3 == 0 || (i > 600 && i < 1300))
			continue;
		assert_int_equal(pwrite(ring_fd, &node, sizeof(node),
					(off_t)(ring_head.nodes_offset + i * sizeof(node))),
				 sizeof(node));
		complete++;
	}
	assert_int_equal(pwrite(ring_fd, &ring_head, sizeof(ring_head), 0), sizeof(ring_head));
	process->ring.head = ring_head;
	process->stacks = true;
	add_malloc(&events, 100, 0x1000);
	events.stacks[0] = 1999;
	buffer(1, 0, &events);
	process_poll(process);
	finish();
	assert_int_equal(ask("SELECT count(*) FROM stacks"), complete);
	assert_int_equal(ask("SELECT offset FROM stack_totals JOIN stacks USING (stack_id) "
			     "JOIN frames USING (frame_id)"),
			 0x1000 + 1999);
}

static void test_gaps(void **unused)
{
	Heaptape__ThreadEnd last = HEAPTAPE__THREAD_END__INIT;
	const uint64_t gaps[2] = { 10, 5 };
	struct events events = { 0 };

	(void)unused;
	for (unsigned i = 0; i < 10; i++)
		add_malloc(&events, 100 + i, 0x1000 + 16 * i);
	assert_int_equal(send(1, 0, &events), 0);
	for (unsigned i = 0; i < 10; i++)
		events.ticks[i] += 100;
	assert_int_equal(send(1, 15, &events), 0);
	last.thread = 1;
	last.events = 28;
	assert_int_equal(process_thread_end(process, &last), 0);
	assert_true(send(1, 28, &events) < 0); /* it has ended */
	finish();
	assert_int_equal(check_rows(gaps), 20);
	assert_int_equal(ask("SELECT lost_events FROM processes"), 8);
	assert_int_equal(ask("SELECT lost_events FROM threads"), 8);
}

/* A thread whose events had no room in the socket rests: it does not hold up the others. */
static void test_dropped(void **unused)
{
	struct events one = { 0 }, two = { 0 };

	(void)unused;
	for (unsigned i = 0; i < 10; i++)
		add_malloc(&one, 100 + i, 0x1000 + 16 * i);
	for (unsigned i = 0; i < 10; i++)
		add_malloc(&two, 200 + i, 0x2000 + 16 * i);
	assert_int_equal(send(1, 0, &one), 0);
	assert_int_equal(send(2, 0, &two), 0);
	/* 10 .. 14 are in the socket still, 15 .. 19 are not. */
	buffer_after(1, 20, &(struct events){ 0 }, 15, 20);
	buffer(2, 10, &(struct events){ 0 });
	process_poll(process);
	assert_int_equal(process->totals.events, 10);
	one.count = 5;
	for (unsigned i = 0; i < 5; i++)
		one.ticks[i] += 50;
	assert_int_equal(send(1, 10, &one), 0);
	process_poll(process);
	assert_int_equal(process->totals.events, 25);
	for (unsigned i = 0; i < 5; i++)
		one.ticks[i] += 200;
	assert_int_equal(send(1, 20, &one), 0);
	finish();
	assert_int_equal(check_rows((uint64_t[]){ 15, 5 }), 30);
	assert_int_equal(ask("SELECT lost_events FROM processes"), 5);
	assert_int_equal(ask("SELECT late_events FROM processes"), 0);
}

/* Events that were seen in the memory are not lost when the process drops them, though it counts them. */
static void test_seen_and_dropped(void **unused)
{
	struct events one = { 0 };

	(void)unused;
	for (unsigned i = 0; i < 10; i++)
		add_malloc(&one, 100 + i, 0x1000 + 16 * i);
	buffer(1, 0, &one);
	process_poll(process);
	buffer_after(1, 20, &(struct events){ 0 }, 0, 20);
	ring_head.lost[0] = 20;
	assert_int_equal(pwrite(ring_fd, &ring_head, sizeof(ring_head), 0), sizeof(ring_head));
	finish();
	assert_int_equal(ask("SELECT events FROM processes"), 10);
	assert_int_equal(ask("SELECT lost_events FROM processes"), 10);
}

/* What waits on disk cannot be read again. */
static void test_spill_lost(void **unused)
{
	const unsigned batches = 10000;
	struct events one = { 0 }, two = { 0 };

	(void)unused;
	add_malloc(&one, 1000, 0x100);
	add_malloc(&two, 1001, 0x200);
	assert_int_equal(send(1, 0, &one), 0);
	for (unsigned i = 0; i < batches; i++) {
		assert_int_equal(send(2, i, &two), 0);
		merge_run(process);
		two.ticks[0] += 10;
	}
	assert_true(process->spill.left > 0);
	assert_int_equal(ftruncate(process->spill.fd, 0), 0);
	finish();
	assert_int_equal(ask("SELECT events + lost_events FROM processes"), batches + 1);
	assert_int_equal(ask("SELECT lost_events > 0 FROM processes"), 1);
	assert_int_equal(the_daemon.pending_bytes, 0);
}

/* The disk has no room for a batch, but for a part of it: it is not there, and waits in memory. */
static void test_spill_full(void **unused)
{
	const unsigned batches = 10000;
	struct events one = { 0 }, two = { 0 };
	struct rlimit limit, less;

	(void)unused;
	add_malloc(&one, 1000, 0x100);
	add_malloc(&two, 1001, 0x200);
	assert_int_equal(send(1, 0, &one), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	less = limit;
	less.rlim_cur = 10007;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
	for (unsigned i = 0; i < batches; i++) {
		assert_int_equal(send(2, i, &two), 0);
		merge_run(process);
		two.ticks[0] += 10;
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_true(process->spill.end > 0 || process->totals.events > 2);
	finish();
	assert_int_equal(ask("SELECT events FROM processes"), batches + 1);
	assert_int_equal(ask("SELECT lost_events FROM processes"), 0);
	assert_int_equal(the_daemon.pending_bytes, 0);
}

/* More waits for a thread that does not get on than there is memory for: it waits on disk, and comes
 * in its turn. */
static void test_spilled(void **unused)
{
	const unsigned batches = 10000;
	struct events one = { 0 }, two = { 0 }, three = { 0 };

	(void)unused;
	add_malloc(&one, 1001, 0x100);
	add_malloc(&two, 1001, 0x200);
	add_free(&two, 1002, 0x200, 1001, 2);
	add_malloc(&three, 1003, 0x300);
	assert_int_equal(send(1, 0, &one), 0);
	assert_int_equal(send(3, 0, &three), 0);
	for (unsigned i = 0; i < batches; i++) {
		assert_int_equal(send(2, i * 2, &two), 0);
		if (i == 0)
			process_poll(process); /* half of it is taken */
		merge_run(process);
		two.ticks[0] += 10;
		two.ticks[1] += 10;
		two.details[0] += 10;
		assert_true(process->pending_bytes < 70u << 20);
	}
	assert_int_equal(process->totals.events, 2);
	assert_true(process->spill.left > 0);
	for (unsigned i = 1; i < batches; i += 100) {
		one.ticks[0] = 1000 + 10 * i;
		assert_int_equal(send(1, 1 + i / 100, &one), 0);
		three.ticks[0] = 1005 + 10 * i;
		assert_int_equal(send(3, 1 + i / 100, &three), 0);
		merge_run(process);
		assert_true(process->totals.events + 200 >= 2 * i);
	}
	finish();
	assert_int_equal(check_rows(NULL), 2 * batches + 2 + 2 * (batches / 100));
	assert_int_equal(ask("SELECT late_events FROM processes"), 0);
	assert_int_equal(ask("SELECT lost_events FROM processes"), 0);
	assert_int_equal(ask("SELECT temporary FROM processes"), batches);
	assert_int_equal(the_daemon.pending_bytes, 0);
}

static void add_switch(struct events *events, uint64_t ticks, uint32_t turn)
{
	add_malloc(events, ticks, 0);
	events->kinds[events->count - 1] = EVENT_RESUME;
	events->classes[events->count - 1] = 0;
	events->details[events->details_count++] = 4096;
	events->details[events->details_count++] = turn;
}

static void add_listed(struct events *events, uint64_t ticks, uint64_t address, uint64_t allocated)
{
	add_free(events, ticks, address, allocated, 1);
	events->kinds[events->count - 1] = EVENT_LIVE;
}

/* Recording went on and off again, and the process has noticed only some of it, before any event of
 * it is taken. */
static void test_times_off(void **unused)
{
	struct events events = { 0 };

	(void)unused;
	/* It began dormant. */
	process->turn = 1; /* noticed; off again in the middle of the list */
	gap_begin(process, 3000);
	process->turn = 2; /* not noticed */
	gap_begin(process, 4000);
	process->turn = 3; /* noticed, and listed */
	gap_save(process);
	assert_int_equal(ask("SELECT from_ns FROM gaps WHERE to_ns IS NULL"), 0);
	ring_head.listed_turn = 3;
	assert_int_equal(pwrite(ring_fd, &ring_head, sizeof(ring_head), 0), sizeof(ring_head));
	add_malloc(&events, 500, 0x100);
	add_malloc(&events, 501, 0x200);
	add_switch(&events, 2000, 1);
	add_listed(&events, 2001, 0x100, 500);
	add_switch(&events, 5000, 3);
	add_listed(&events, 5001, 0x100, 500);
	add_listed(&events, 5001, 0x200, 501);
	add_listed(&events, 5001, 0x300, 0);
	assert_int_equal(send(1, 0, &events), 0);
	finish();
	assert_int_equal(ask("SELECT count(*) FROM gaps WHERE to_ns > from_ns"), 2);
	assert_int_equal(ask("SELECT count(*) FROM gaps WHERE from_ns = 0 AND known_blocks = 2 AND "
			     "kept_blocks = 1 AND listed_blocks = 1 AND complete = 0"),
			 1);
	assert_int_equal(
		ask("SELECT count(*) FROM gaps WHERE from_ns = 3000 AND known_blocks = 1 AND "
		    "kept_blocks = 2 AND listed_blocks = 3 AND complete = 1"),
		1);
	assert_int_equal(ask("SELECT live_blocks FROM processes"), 3);
}

static void test_temporaries(void **unused)
{
	struct events one = { 0 }, two = { 0 };

	(void)unused;
	add_malloc(&one, 10, 0x100);
	add_free(&one, 11, 0x100, 10, 1); /* temporary */
	add_malloc(&one, 12, 0x100);
	add_malloc(&one, 13, 0x200);
	add_free(&one, 14, 0x100, 12, 1); /* not: something was allocated since */
	add_free(&one, 15, 0x200, 13, 1); /* temporary: frees in between do not matter */
	add_malloc(&one, 16, 0x300);
	add_malloc(&one, 20, 0x400);
	add_free(&one, 30, 0x500, 0, 0);  /* older than the recording */
	add_free(&two, 18, 0x300, 16, 1); /* another thread */
	assert_int_equal(send(1, 0, &one), 0);
	assert_int_equal(send(2, 0, &two), 0);
	finish();
	assert_int_equal(ask("SELECT temporary FROM processes"), 2);
	assert_int_equal(ask("SELECT preexisting_frees FROM processes"), 1);
	assert_int_equal(ask("SELECT live_blocks FROM processes"), 1);
	assert_int_equal(ask("SELECT allocations - frees = live_blocks FROM processes"), 1);
	assert_int_equal(ask("SELECT temporary FROM stack_totals"), 2);
	assert_int_equal(ask("SELECT peak_bytes FROM processes"), 20);
}

static void test_nonsense(void **unused)
{
	Heaptape__StackNodes nodes = HEAPTAPE__STACK_NODES__INIT;
	struct events events = { 0 };
	uint32_t parent = 9, thread = 10000000;
	uint64_t pc = 1;

	(void)unused;
	add_malloc(&events, 10, 0x100);
	buffer(1, 0, &events);
	assert_int_equal(pwrite(ring_fd, &thread, sizeof(thread), 4096), sizeof(thread));
	process_poll(process);
	assert_int_equal(process->thread_count, 0); /* nor in the memory */
	buffer(1, 0, &(struct events){ 0 });
	assert_true(send(0, 0, &events) < 0);
	assert_true(send(0xffffffffu, 0, &events) < 0);
	assert_true(send(1, UINT64_MAX, &events) < 0);
	events.classes[0] = 4;
	assert_true(send(1, 0, &events) < 0); /* no such class */
	events.classes[0] = 0;
	assert_true(send(1, 0, &events) < 0); /* details are missing */
	events.classes[0] = 1;
	events.kinds[0] = 31;
	assert_true(send(1, 0, &events) < 0);
	nodes.first_node = 5;
	nodes.n_parents = nodes.n_pcs = 1;
	nodes.parents = &parent;
	nodes.pcs = &pc;
	assert_true(process_nodes(process, &nodes) < 0); /* a parent that comes later */
	parent = 5;
	assert_true(process_nodes(process, &nodes) < 0); /* its own */
	parent = 0;
	nodes.first_node = 0xfffffff0u;
	assert_true(process_nodes(process, &nodes) < 0);
	/* A stack nobody defined is no stack. */
	events.kinds[0] = EVENT_MALLOC;
	events.stacks[0] = 0x7fffffff;
	assert_int_equal(send(1, 0, &events), 0);
	finish();
	assert_int_equal(ask("SELECT events FROM processes"), 1);
	assert_int_equal(ask("SELECT stack_id FROM stack_totals"), 0);
}

static void test_misuses(void **unused)
{
	Heaptape__Misuse misuse = HEAPTAPE__MISUSE__INIT;
	Heaptape__StackNodes nodes = HEAPTAPE__STACK_NODES__INIT;
	uint32_t parents[] = { 0, 1 };
	uint64_t pcs[] = { 0x1000, 0x2000 };

	(void)unused;
	nodes.first_node = 1;
	nodes.n_parents = nodes.n_pcs = 2;
	nodes.parents = parents;
	nodes.pcs = pcs;
	assert_int_equal(process_nodes(process, &nodes), 0);
	assert_true(process_misuse(process, &misuse) < 0); /* of no kind */
	misuse.kind = MISUSE_KIND_COUNT;
	assert_true(process_misuse(process, &misuse) < 0);
	misuse.kind = MISUSE_DOUBLE_FREE;
	misuse.ticks = 50;
	misuse.address = misuse.block = 0x500;
	misuse.size_bytes = 24;
	misuse.stack = 1;
	misuse.allocated_stack = 2;
	misuse.freed_stack = 0x7fffffff; /* nobody defined it */
	misuse.text = (char *)"free(0x500): already freed";
	assert_int_equal(process_misuse(process, &misuse), 0);
	misuse.kind = MISUSE_FOREIGN;
	misuse.block = 0;
	for (int i = 0; i < 10005; i++)
		assert_int_equal(process_misuse(process, &misuse), 0);
	finish();
	assert_int_equal(ask("SELECT count(*) FROM misuses"), 10000);
	assert_int_equal(ask("SELECT count(*) FROM notes WHERE text LIKE '%misused its heap%'"), 1);
	assert_int_equal(
		ask("SELECT count(*) FROM misuses WHERE kind = 'double free' AND size_bytes = 24 "
		    "AND block_address = 1280 AND thread IS NULL AND freed_stack_id IS NULL "
		    "AND stack_id IN (SELECT stack_id FROM stacks WHERE depth = 1) "
		    "AND allocated_stack_id IN (SELECT stack_id FROM stacks WHERE depth = 2)"),
		1);
	assert_int_equal(ask("SELECT count(*) FROM misuses WHERE kind = 'foreign pointer' AND "
			     "block_address IS NULL AND size_bytes IS NULL"),
			 9999);
}

/* What became of it: its end as it said itself, the last sample as its row, an event that came too late
 * for its turn, a request that failed, and what was asked of the system. */
static void test_figures(void **unused)
{
	Heaptape__ProcessEnd last = HEAPTAPE__PROCESS_END__INIT;
	struct events events = { 0 }, late = { 0 };

	(void)unused;
	add_malloc(&events, 100, 0x100);
	add_malloc(&events, 200, 0x200);
	add_free(&events, 300, 0x200, 200, 1);
	add_malloc(&events, 400, 0); /* answered with NULL */
	add_malloc(&events, 500, 0x10000);
	events.kinds[4] = EVENT_MMAP | EVENT_BY_ALLOCATOR;
	events.classes[4] = 0;
	events.details[events.details_count++] = 8192;
	events.details[events.details_count++] = 3;
	assert_int_equal(send(1, 0, &events), 0);
	merge_flush(process);
	add_malloc(&late, 450, 0x300);
	assert_int_equal(send(1, 5, &late), 0);
	last.ticks = 7000;
	last.how = PROCESS_EXITED;
	last.exit_code = 5;
	process_end_message(process, &last);
	finish();
	assert_int_equal(ask("SELECT ended_ns FROM processes"), 7000);
	assert_int_equal(ask("SELECT exit_code FROM processes WHERE ending = 'exited'"), 5);
	assert_int_equal(ask("SELECT late_events FROM processes"), 1);
	assert_int_equal(ask("SELECT failed FROM processes"), 1);
	assert_int_equal(ask("SELECT held_bytes FROM processes"), 8192);
	assert_int_equal(ask("SELECT count(*) FROM processes JOIN samples USING (process_id) WHERE "
			     "at_ns = ended_ns AND samples.live_blocks = 2 AND "
			     "samples.live_bytes = 20 AND samples.held_bytes = 8192 AND "
			     "samples.allocations = 3 AND samples.frees = 1"),
			 1);
}

/* However long it runs, the timeline has some hundred samples, at even steps. */
static void test_samples(void **unused)
{
	struct events events = { 0 };

	(void)unused;
	add_malloc(&events, 0, 0x100);
	for (unsigned i = 0; i < 20000; i++) {
		events.ticks[0] = 300000 * i;
		assert_int_equal(send(1, i, &events), 0);
		merge_flush(process);
		if (i % 1777 == 0)
			samples_save(process);
	}
	finish();
	assert_int_equal(ask("SELECT count(*) BETWEEN 400 AND 1025 FROM samples"), 1);
	assert_int_equal(
		ask("WITH steps AS (SELECT at_ns - lag(at_ns) OVER (ORDER BY at_ns) AS step "
		    "FROM samples WHERE at_ns < 6000000000) "
		    "SELECT max(step) <= 3 * min(step) FROM steps"),
		1);
}

/* A row for every time a module was mapped, with its end. */
static void test_modules(void **unused)
{
	Heaptape__Module module = HEAPTAPE__MODULE__INIT;
	uint8_t build_id[] = { 0x0a, 0xf0 };

	(void)unused;
	module.path = (char *)"/no/such/library.so";
	module.build_id = (ProtobufCBinaryData){ 2, build_id };
	module.start = 0x4000;
	module.end = 0x6000;
	module.load_bias = 0x3000;
	module.ticks = 100;
	assert_int_equal(process_module(process, &module), 0);
	module.unloaded = true;
	module.ticks = 200;
	assert_int_equal(process_module(process, &module), 0);
	module.unloaded = false;
	module.ticks = 300;
	assert_int_equal(process_module(process, &module), 0);
	module.end = module.start;
	assert_true(process_module(process, &module) < 0);
	finish();
	assert_int_equal(ask("SELECT count(*) FROM modules WHERE build_id = '0af0'"), 1);
	assert_int_equal(ask("SELECT count(*) FROM mappings WHERE base = 0x3000 AND start = 0x4000 "
			     "AND end = 0x6000"),
			 2);
	assert_int_equal(ask("SELECT unmapped_ns FROM mappings WHERE mapped_ns = 100"), 200);
	assert_int_equal(
		ask("SELECT count(*) FROM mappings WHERE mapped_ns = 300 AND unmapped_ns IS NULL"),
		1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_threads_by_time, begin, end),
		cmocka_unit_test_setup_teardown(test_memory_then_socket, begin, end),
		cmocka_unit_test_setup_teardown(test_threads_gone, begin, end),
		cmocka_unit_test_setup_teardown(test_restarting, begin, end),
		cmocka_unit_test_setup_teardown(test_many_ended, begin, end),
		cmocka_unit_test_setup_teardown(test_free_stacks, begin, end),
		cmocka_unit_test_setup_teardown(test_nodes_with_holes, begin, end),
		cmocka_unit_test_setup_teardown(test_gaps, begin, end),
		cmocka_unit_test_setup_teardown(test_dropped, begin, end),
		cmocka_unit_test_setup_teardown(test_seen_and_dropped, begin, end),
		cmocka_unit_test_setup_teardown(test_spilled, begin, end),
		cmocka_unit_test_setup_teardown(test_spill_lost, begin, end),
		cmocka_unit_test_setup_teardown(test_spill_full, begin, end),
		cmocka_unit_test_setup_teardown(test_times_off, begin, end),
		cmocka_unit_test_setup_teardown(test_temporaries, begin, end),
		cmocka_unit_test_setup_teardown(test_nonsense, begin, end),
		cmocka_unit_test_setup_teardown(test_misuses, begin, end),
		cmocka_unit_test_setup_teardown(test_figures, begin, end),
		cmocka_unit_test_setup_teardown(test_samples, begin, end),
		cmocka_unit_test_setup_teardown(test_modules, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
