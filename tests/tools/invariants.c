/*
 * Checks what must hold of every recorded history. Reads each process's events in stored order,
 * keeps its own picture of the heap, and compares it with what the events and the tables say:
 *
 *   - time never goes down, sequence numbers of a thread have no gap
 *   - no address is given out twice at once, no two live blocks overlap
 *   - every block lies in pages that the allocator took from the system
 *   - every free names an earlier allocation: same address, sizes, time, thread, stack
 *   - live = allocated - freed, in total, per thread, per stack, per size
 *   - where recording was switched on, each live block is listed once, and one that was recorded
 *     before is the same as then; live numbers follow the list; the table gaps says so
 *   - the totals tables are the sums over the events, peaks and temporaries included
 *   - held >= live at every sample
 *
 * usage: invariants [--run N] [--allow-lost] DATABASE
 * Prints one line per violation (the first few of each process) and one summary per process.
 */
#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/chunk.h"
#include "proto/event.h"
#include "tests/tools/heap_model.h"

static unsigned violations;	  /* in all */
static unsigned process_problems; /* of the process at hand */
static int64_t current_process;
static bool allow_lost;

__attribute__((format(printf, 1, 2))) static void violation(const char *format, ...)
{
	va_list list;

	violations++;
	if (process_problems++ >= 10)
		return;
	printf("process %" PRId64 ": ", current_process);
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	putchar('\n');
}

static void die(sqlite3 *db, const char *what)
{
	fprintf(stderr, "invariants: %s: %s\n", what, db ? sqlite3_errmsg(db) : strerror(errno));
	exit(3);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql, int64_t id)
{
	sqlite3_stmt *statement;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		die(db, sql);
	sqlite3_bind_int64(statement, 1, id);
	return statement;
}

static bool step(sqlite3 *db, sqlite3_stmt *statement)
{
	int rc = sqlite3_step(statement);

	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		die(db, sqlite3_sql(statement));
	return rc == SQLITE_ROW;
}

#define EXPECT_EQUAL(what, table, events)                                                  \
	do {                                                                               \
		int64_t a_ = (int64_t)(table), b_ = (int64_t)(events);                     \
		if (a_ != b_)                                                              \
			violation("%s: table %" PRId64 ", events %" PRId64, what, a_, b_); \
	} while (0)

/* Everything that is added up for one process. */
struct sums {
	struct heap_model heap;
	struct chunk_reader *reader;
	uint64_t last_ns;
	uint64_t started_ns;
	uint64_t events, allocations, allocated_bytes, frees, freed_bytes, reallocations, failed;
	uint64_t temporary, preexisting_frees, marks;
	uint64_t live_blocks, live_bytes, peak_bytes, peak_blocks, epoch;
	/* Of the latest resume event. */
	struct heap_model before; /* was live until recording went off, and is not listed since */
	bool resumed, all_listed;
	/* Gaps: what was being recorded as one began is still there, what others did meanwhile not. */
	struct gap_times {
		uint64_t from_ns, to_ns;
		bool complete;
	} gaps[1024];
	size_t gap_count;
	uint64_t resumed_ns, known_blocks, known_bytes, kept_blocks, kept_bytes;
	uint64_t listed_blocks, listed_bytes;
	int64_t adjusted_blocks; /* listed less known, over all of them */
	bool may_miss;	/* events are known to be lost: what depends on each one is not judged */
	bool unordered; /* late events: the peak is not judged */
	struct thread_sums {
		uint64_t next_seq, allocations, allocated_bytes, frees, freed_bytes, last_ns;
		uint64_t last_allocated; /* address; 0: none since */
	} * threads;
	size_t thread_capacity;
	struct stack_sums {
		uint64_t allocations, allocated_bytes, frees, freed_bytes, temporary;
		int64_t live_blocks, live_bytes, peak_blocks, peak_bytes;
		uint64_t epoch;
	} * stacks;
	size_t stack_capacity;
};

static void *grow(void *array, size_t *capacity, size_t index, size_t bytes)
{
	size_t wanted = *capacity ? *capacity : 64;

	if (index < *capacity)
		return array;
	while (wanted <= index)
		wanted *= 2;
	array = realloc(array, wanted * bytes);
	if (!array)
		die(NULL, "memory");
	memset((char *)array + *capacity * bytes, 0, (wanted - *capacity) * bytes);
	*capacity = wanted;
	return array;
}

static struct thread_sums *thread_of(struct sums *sums, uint32_t number)
{
	sums->threads = grow(sums->threads, &sums->thread_capacity, number, sizeof(*sums->threads));
	return &sums->threads[number];
}

/* The stack's sums, its share of the peak settled before it changes. */
static struct stack_sums *stack_of(struct sums *sums, uint32_t id)
{
	struct stack_sums *stack;

	sums->stacks = grow(sums->stacks, &sums->stack_capacity, id, sizeof(*sums->stacks));
	stack = &sums->stacks[id];
	if (stack->epoch != sums->epoch) {
		stack->peak_blocks = stack->live_blocks;
		stack->peak_bytes = stack->live_bytes;
		stack->epoch = sums->epoch;
	}
	return stack;
}

static bool in_gap(const struct sums *sums, uint64_t at_ns)
{
	for (size_t i = 0; i < sums->gap_count; i++)
		if (at_ns >= sums->gaps[i].from_ns && at_ns < sums->gaps[i].to_ns)
			return true;
	return false;
}

static void load_gaps(sqlite3 *db, struct sums *sums)
{
	sqlite3_stmt *rows = prepare(db,
				     "SELECT from_ns, coalesce(to_ns, 1 << 62), complete FROM "
				     "gaps WHERE process_id = ? ORDER BY from_ns LIMIT 1024",
				     current_process);

	while (step(db, rows))
		sums->gaps[sums->gap_count++] =
			(struct gap_times){ (uint64_t)sqlite3_column_int64(rows, 0),
					    (uint64_t)sqlite3_column_int64(rows, 1),
					    sqlite3_column_int(rows, 2) != 0 };
	sqlite3_finalize(rows);
}

/* `block` becomes what frees of it will name. */
static void block_listed(struct sums *sums, const struct event_row *row, struct heap_block *block)
{
	struct heap_block before;

	sums->listed_blocks++;
	sums->listed_bytes += row->size_bytes;
	sums->adjusted_blocks++;
	block->thread = 0;
	if (!sums->resumed)
		violation("seq %" PRIu64 ": a block is listed, but recording was on", row->seq);
	if (!row->old_address)
		return;
	sums->kept_blocks++;
	sums->kept_bytes += row->size_bytes;
	block->at_ns = row->allocated_at_ns;
	block->thread = row->allocated_by;
	if (sums->may_miss)
		return;
	if (!heap_remove(&sums->before, row->address, &before))
		violation("seq %" PRIu64 ": %#" PRIx64
			  " is listed as recorded before, but was not live",
			  row->seq, row->address);
	else if (before.at_ns != block->at_ns || before.thread != block->thread ||
		 before.stack_id != block->stack_id)
		violation("seq %" PRIu64 ": %#" PRIx64 " is listed as another than it was",
			  row->seq, row->address);
}

static void block_appears(struct sums *sums, const struct event_row *row)
{
	struct thread_sums *thread = thread_of(sums, row->thread);
	struct stack_sums *stack = stack_of(sums, row->stack_id);
	struct heap_block block = { .address = row->address,
				    .size_bytes = row->size_bytes,
				    .usable_bytes = row->usable_bytes,
				    .at_ns = row->at_ns,
				    .thread = row->thread,
				    .stack_id = row->stack_id };
	const char *problem;

	if (row->usable_bytes < row->size_bytes)
		violation("seq %" PRIu64 ": usable %" PRIu64 " < size %" PRIu64, row->seq,
			  row->usable_bytes, row->size_bytes);
	if (event_kind_of(row->kind) == EVENT_LIVE)
		block_listed(sums, row, &block);
	problem = heap_add(&sums->heap, &block);
	if (problem && !sums->may_miss && !in_gap(sums, row->at_ns))
		violation("thread %u seq %" PRIu64 ": %#" PRIx64 " (%" PRIu64 " bytes) %s",
			  row->thread, row->seq, row->address, row->size_bytes, problem);
	sums->live_blocks++;
	sums->live_bytes += row->size_bytes;
	stack->live_blocks++;
	stack->live_bytes += (int64_t)row->size_bytes;
	if (event_kind_of(row->kind) == EVENT_LIVE)
		return;
	sums->allocations++;
	sums->allocated_bytes += row->size_bytes;
	thread->allocations++;
	thread->allocated_bytes += row->size_bytes;
	thread->last_allocated = row->address;
	stack->allocations++;
	stack->allocated_bytes += row->size_bytes;
}

/* True when recording went off again before all blocks that were live at `resumed_ns` were listed. */
static bool list_was_cut(const struct sums *sums)
{
	for (size_t i = 0; sums->resumed && i < sums->gap_count; i++)
		if (sums->gaps[i].to_ns == sums->resumed_ns)
			return !sums->gaps[i].complete;
	return false;
}

/* What was not listed may still be there, where nothing else is known to be. */
static void keep_unlisted(struct heap_model *heap, const struct heap_model *unlisted)
{
	struct heap_block found;

	for (size_t i = 0; i < unlisted->block_capacity; i++) {
		if (!unlisted->blocks[i].address)
			continue;
		if (heap_remove(heap, unlisted->blocks[i].address, &found))
			heap_add(heap, &found);
		else
			heap_add(heap, &unlisted->blocks[i]);
	}
}

/* Recording goes on after a gap: nothing that was live before counts, until it is listed. */
static void resume(struct sums *sums, const struct event_row *row)
{
	if (row->allocated_at_ns > row->at_ns)
		violation("seq %" PRIu64 ": a gap that ends before it begins", row->seq);
	if (list_was_cut(sums))
		keep_unlisted(&sums->heap, &sums->before);
	heap_release(&sums->before);
	sums->before = sums->heap;
	heap_init(&sums->heap);
	sums->heap.peak_held_bytes = sums->before.peak_held_bytes;
	sums->heap.inherited_pages = true; /* until they are told */
	sums->resumed = true;
	sums->resumed_ns = row->at_ns;
	sums->known_blocks = sums->live_blocks;
	sums->known_bytes = sums->live_bytes;
	sums->adjusted_blocks -= (int64_t)sums->live_blocks;
	sums->kept_blocks = sums->kept_bytes = sums->listed_blocks = sums->listed_bytes = 0;
	for (uint32_t i = 0; i < sums->stack_capacity; i++) {
		struct stack_sums *stack = stack_of(sums, i);

		stack->live_blocks = stack->live_bytes = 0;
	}
	sums->live_blocks = sums->live_bytes = 0;
}

static void block_goes(struct sums *sums, const struct event_row *row,
		       const struct heap_block *named)
{
	struct thread_sums *thread = thread_of(sums, row->thread);
	struct stack_sums *stack;
	struct heap_block found;

	if (!heap_remove(&sums->heap, named->address, &found)) {
		if (named->at_ns == EVENT_TIME_UNKNOWN || named->at_ns < sums->started_ns) {
			sums->preexisting_frees++;
			return;
		}
		if (!sums->may_miss && !in_gap(sums, row->at_ns))
			violation("thread %u seq %" PRIu64 ": free of %#" PRIx64 " (%" PRIu64
				  " bytes), which is not live",
				  row->thread, row->seq, named->address, named->size_bytes);
		return;
	}
	if (!sums->may_miss && !in_gap(sums, row->at_ns) &&
	    (found.size_bytes != named->size_bytes || found.usable_bytes != named->usable_bytes ||
	     found.stack_id != named->stack_id || found.at_ns != named->at_ns ||
	     found.thread != named->thread))
		violation("thread %u seq %" PRIu64 ": free of %#" PRIx64 " names size %" PRIu64
			  "/%" PRIu64 " time %" PRIu64 " thread %u stack %u, was %" PRIu64
			  "/%" PRIu64 " time %" PRIu64 " thread %u stack %u",
			  row->thread, row->seq, named->address, named->size_bytes,
			  named->usable_bytes, named->at_ns, named->thread, named->stack_id,
			  found.size_bytes, found.usable_bytes, found.at_ns, found.thread,
			  found.stack_id);
	stack = stack_of(sums, found.stack_id);
	sums->frees++;
	sums->freed_bytes += found.size_bytes;
	sums->live_blocks--;
	sums->live_bytes -= found.size_bytes;
	thread->frees++;
	thread->freed_bytes += found.size_bytes;
	stack->frees++;
	stack->freed_bytes += found.size_bytes;
	stack->live_blocks--;
	stack->live_bytes -= (int64_t)found.size_bytes;
	if (found.thread == row->thread && thread->last_allocated == found.address) {
		sums->temporary++;
		stack->temporary++;
		thread->last_allocated = 0;
	}
}

static void take_peak(struct sums *sums)
{
	if (sums->live_bytes > sums->peak_bytes) {
		sums->peak_bytes = sums->live_bytes;
		sums->peak_blocks = sums->live_blocks;
		sums->epoch++;
	}
}

static void pages_change(struct sums *sums, const struct event_row *row)
{
	struct heap_model *heap = &sums->heap;
	uint64_t address = row->address;

	if (!(row->kind & EVENT_BY_ALLOCATOR))
		return;
	switch (event_kind_of(row->kind)) {
	case EVENT_SBRK:
	case EVENT_BRK:
		if ((int64_t)row->size_bytes > 0)
			held_add(heap, row->address, row->size_bytes);
		else
			held_remove(heap, row->old_address, -row->size_bytes);
		break;
	case EVENT_MMAP:
		held_add(heap, address, row->size_bytes);
		break;
	case EVENT_MUNMAP:
		held_remove(heap, address, row->size_bytes);
		break;
	case EVENT_MREMAP:
		held_remove(heap, row->old_address, row->old_size_bytes);
		held_add(heap, address, row->size_bytes);
		break;
	case EVENT_SPAN:
	case EVENT_UNSPAN:
		if (sums->resumed)
			held_add(heap, address, row->size_bytes);
		break;
	case EVENT_MADVISE:
		break;
	case EVENT_NONE:
	case EVENT_MALLOC:
	case EVENT_CALLOC:
	case EVENT_REALLOC:
	case EVENT_MEMALIGN:
	case EVENT_FREE:
	case EVENT_LIVE:
	case EVENT_RESUME:
	case EVENT_MARK: /* not about pages */
		break;
	}
}

static void one_event(struct sums *sums, const struct event_row *row)
{
	struct thread_sums *thread = thread_of(sums, row->thread);
	struct heap_block old;

	sums->events++;
	if (row->at_ns < sums->last_ns && !sums->unordered)
		violation("thread %u seq %" PRIu64 ": time goes down", row->thread, row->seq);
	sums->last_ns = row->at_ns;
	if (row->seq != thread->next_seq && !sums->may_miss)
		violation("thread %u: seq %" PRIu64 " follows %" PRIu64, row->thread, row->seq,
			  thread->next_seq - 1);
	thread->next_seq = row->seq + 1;
	if (row->at_ns < thread->last_ns)
		violation("thread %u seq %" PRIu64 ": the thread's time goes down", row->thread,
			  row->seq);
	thread->last_ns = row->at_ns;

	switch (event_kind_of(row->kind)) {
	case EVENT_MALLOC:
	case EVENT_CALLOC:
	case EVENT_MEMALIGN:
	case EVENT_LIVE:
		if (row->address)
			block_appears(sums, row);
		else
			sums->failed++;
		take_peak(sums);
		break;
	case EVENT_FREE:
		old = (struct heap_block){ row->address,      row->size_bytes,
					   row->usable_bytes, row->allocated_at_ns,
					   row->allocated_by, row->stack_id };
		block_goes(sums, row, &old);
		break;
	case EVENT_REALLOC:
		old = (struct heap_block){ row->old_address,	  row->old_size_bytes,
					   row->old_usable_bytes, row->allocated_at_ns,
					   row->allocated_by,	  row->old_stack_id };
		if (!row->address) {
			sums->failed++;
			break;
		}
		if (row->old_address) {
			sums->reallocations++;
			block_goes(sums, row, &old);
		}
		block_appears(sums, row);
		take_peak(sums);
		break;
	case EVENT_RESUME:
		resume(sums, row);
		break;
	case EVENT_MARK:
		sums->marks++;
		break;
	case EVENT_SBRK:
	case EVENT_BRK:
	case EVENT_MMAP:
	case EVENT_MUNMAP:
	case EVENT_MREMAP:
	case EVENT_MADVISE:
	case EVENT_SPAN:
	case EVENT_UNSPAN:
		pages_change(sums, row);
		break;
	case EVENT_NONE:
		violation("thread %u seq %" PRIu64 ": no kind", row->thread, row->seq);
		break;
	}
}

static void read_events(sqlite3 *db, struct sums *sums)
{
	sqlite3_stmt *chunks = prepare(db,
				       "SELECT blob, events, chunk_id FROM chunks WHERE "
				       "process_id = ? ORDER BY chunk_id",
				       current_process);

	while (step(db, chunks)) {
		struct chunk_columns columns;
		struct event_row row;
		int rc = chunk_reader_decode(sums->reader, sqlite3_column_blob(chunks, 0),
					     (size_t)sqlite3_column_bytes(chunks, 0), CHUNK_ALL,
					     &columns);

		if (rc < 0) {
			violation("chunk %d: %s", sqlite3_column_int(chunks, 2),
				  chunk_reader_error(sums->reader));
			continue;
		}
		if ((int)columns.events != sqlite3_column_int(chunks, 1))
			violation("chunk %d: %u events inside, row says %d",
				  sqlite3_column_int(chunks, 2), columns.events,
				  sqlite3_column_int(chunks, 1));
		for (unsigned i = 0; i < columns.events; i++) {
			chunk_row(&columns, i, &row);
			one_event(sums, &row);
		}
	}
	sqlite3_finalize(chunks);
}

/* The row of the latest gap that ended, and the sum over all. */
static void compare_gaps(sqlite3 *db, struct sums *sums)
{
	sqlite3_stmt *rows = prepare(db,
				     "SELECT to_ns, known_blocks, known_bytes, kept_blocks, "
				     "kept_bytes, listed_blocks, listed_bytes, complete, "
				     "sum(listed_blocks - known_blocks) OVER (ORDER BY from_ns) "
				     "FROM gaps WHERE process_id = ? AND to_ns IS NOT NULL "
				     "ORDER BY from_ns DESC LIMIT 1",
				     current_process);

	if (!step(db, rows)) {
		if (sums->resumed)
			violation("recording was resumed, but there is no gap");
		sqlite3_finalize(rows);
		return;
	}
	EXPECT_EQUAL("gaps.to_ns", sqlite3_column_int64(rows, 0), sums->resumed_ns);
	EXPECT_EQUAL("gaps.known_blocks", sqlite3_column_int64(rows, 1), sums->known_blocks);
	EXPECT_EQUAL("gaps.known_bytes", sqlite3_column_int64(rows, 2), sums->known_bytes);
	EXPECT_EQUAL("gaps.kept_blocks", sqlite3_column_int64(rows, 3), sums->kept_blocks);
	EXPECT_EQUAL("gaps.kept_bytes", sqlite3_column_int64(rows, 4), sums->kept_bytes);
	EXPECT_EQUAL("gaps.listed_blocks", sqlite3_column_int64(rows, 5), sums->listed_blocks);
	EXPECT_EQUAL("gaps.listed_bytes", sqlite3_column_int64(rows, 6), sums->listed_bytes);
	EXPECT_EQUAL("blocks listed less those known", sqlite3_column_int64(rows, 8),
		     sums->adjusted_blocks);
	sums->all_listed = sqlite3_column_int(rows, 7);
	sqlite3_finalize(rows);
}

static void compare_threads(sqlite3 *db, struct sums *sums)
{
	sqlite3_stmt *rows = prepare(db,
				     "SELECT number, events, allocations, allocated_bytes, "
				     "frees, freed_bytes FROM threads WHERE process_id = ?",
				     current_process);

	while (step(db, rows)) {
		const struct thread_sums *thread =
			thread_of(sums, (uint32_t)sqlite3_column_int(rows, 0));

		EXPECT_EQUAL("threads.events", sqlite3_column_int64(rows, 1), thread->next_seq);
		EXPECT_EQUAL("threads.allocations", sqlite3_column_int64(rows, 2),
			     thread->allocations);
		EXPECT_EQUAL("threads.allocated_bytes", sqlite3_column_int64(rows, 3),
			     thread->allocated_bytes);
		EXPECT_EQUAL("threads.frees", sqlite3_column_int64(rows, 4), thread->frees);
		EXPECT_EQUAL("threads.freed_bytes", sqlite3_column_int64(rows, 5),
			     thread->freed_bytes);
	}
	sqlite3_finalize(rows);
}

static void compare_stacks(sqlite3 *db, struct sums *sums)
{
	sqlite3_stmt *rows =
		prepare(db,
			"SELECT stack_id, allocations, allocated_bytes, frees, "
			"freed_bytes, temporary, peak_blocks, peak_bytes, live_blocks, live_bytes "
			"FROM stack_totals WHERE process_id = ?",
			current_process);
	uint64_t seen = 0;

	while (step(db, rows)) {
		struct stack_sums *stack = stack_of(sums, (uint32_t)sqlite3_column_int(rows, 0));

		seen += stack->allocations;
		EXPECT_EQUAL("stack_totals.allocations", sqlite3_column_int64(rows, 1),
			     stack->allocations);
		EXPECT_EQUAL("stack_totals.allocated_bytes", sqlite3_column_int64(rows, 2),
			     stack->allocated_bytes);
		EXPECT_EQUAL("stack_totals.frees", sqlite3_column_int64(rows, 3), stack->frees);
		EXPECT_EQUAL("stack_totals.freed_bytes", sqlite3_column_int64(rows, 4),
			     stack->freed_bytes);
		EXPECT_EQUAL("stack_totals.temporary", sqlite3_column_int64(rows, 5),
			     stack->temporary);
		if (!sums->unordered) {
			EXPECT_EQUAL("stack_totals.peak_blocks", sqlite3_column_int64(rows, 6),
				     stack->peak_blocks);
			EXPECT_EQUAL("stack_totals.peak_bytes", sqlite3_column_int64(rows, 7),
				     stack->peak_bytes);
		}
		EXPECT_EQUAL("stack_totals.live_blocks", sqlite3_column_int64(rows, 8),
			     stack->live_blocks);
		EXPECT_EQUAL("stack_totals.live_bytes", sqlite3_column_int64(rows, 9),
			     stack->live_bytes);
	}
	EXPECT_EQUAL("allocations over all stacks", seen, sums->allocations);
	sqlite3_finalize(rows);
}

static void compare_rest(sqlite3 *db, struct sums *sums)
{
	sqlite3_stmt *rows = prepare(
		db,
		"SELECT sum(allocations), sum(allocated_bytes), "
		"sum(live_blocks), sum(live_bytes) FROM size_histogram WHERE process_id = ?",
		current_process);

	step(db, rows);
	EXPECT_EQUAL("size_histogram.allocations", sqlite3_column_int64(rows, 0),
		     sums->allocations);
	EXPECT_EQUAL("size_histogram.allocated_bytes", sqlite3_column_int64(rows, 1),
		     sums->allocated_bytes);
	EXPECT_EQUAL("size_histogram.live_blocks", sqlite3_column_int64(rows, 2),
		     sums->live_blocks);
	EXPECT_EQUAL("size_histogram.live_bytes", sqlite3_column_int64(rows, 3), sums->live_bytes);
	sqlite3_finalize(rows);

	rows = prepare(db, "SELECT at_ns, live_bytes, held_bytes FROM samples WHERE process_id = ?",
		       current_process);
	while (step(db, rows))
		if (sqlite3_column_int64(rows, 1) > sqlite3_column_int64(rows, 2))
			violation("sample at %" PRId64 " ns: %" PRId64 " bytes live, %" PRId64
				  " held",
				  (int64_t)sqlite3_column_int64(rows, 0),
				  (int64_t)sqlite3_column_int64(rows, 1),
				  (int64_t)sqlite3_column_int64(rows, 2));
	sqlite3_finalize(rows);
}

/* One row of `processes`, all columns named in the order they are read. */
static void check_process(sqlite3 *db, sqlite3_stmt *process)
{
	struct sums sums = { .epoch = 1 };
	int64_t lost = sqlite3_column_int64(process, 3);

	current_process = sqlite3_column_int64(process, 0);
	process_problems = 0;
	sums.started_ns = (uint64_t)sqlite3_column_int64(process, 4);
	sums.unordered = sqlite3_column_int64(process, 5) > 0;
	sums.may_miss = lost > 0;
	sums.reader = chunk_reader_new();
	heap_init(&sums.heap);
	heap_init(&sums.before);
	/* A fork child lives in pages its parent took. */
	sums.heap.inherited_pages = sqlite3_column_int(process, 20) != 0;
	if (lost && !allow_lost)
		violation("%" PRId64 " events lost", lost);
	if (sums.unordered)
		printf("process %" PRId64 ": %" PRId64 " late events\n", current_process,
		       (int64_t)sqlite3_column_int64(process, 5));
	load_gaps(db, &sums);
	read_events(db, &sums);
	EXPECT_EQUAL("processes.events", sqlite3_column_int64(process, 2), sums.events);
	if (!sums.may_miss) {
		EXPECT_EQUAL("allocations", sqlite3_column_int64(process, 6), sums.allocations);
		EXPECT_EQUAL("allocated_bytes", sqlite3_column_int64(process, 7),
			     sums.allocated_bytes);
		EXPECT_EQUAL("frees", sqlite3_column_int64(process, 8), sums.frees);
		EXPECT_EQUAL("freed_bytes", sqlite3_column_int64(process, 9), sums.freed_bytes);
		EXPECT_EQUAL("reallocations", sqlite3_column_int64(process, 10),
			     sums.reallocations);
		EXPECT_EQUAL("failed", sqlite3_column_int64(process, 11), sums.failed);
		EXPECT_EQUAL("temporary", sqlite3_column_int64(process, 12), sums.temporary);
		EXPECT_EQUAL("preexisting_frees", sqlite3_column_int64(process, 13),
			     sums.preexisting_frees);
		EXPECT_EQUAL("live_blocks", sqlite3_column_int64(process, 14), sums.live_blocks);
		EXPECT_EQUAL("live_bytes", sqlite3_column_int64(process, 15), sums.live_bytes);
		if (!sums.unordered) {
			EXPECT_EQUAL("peak_bytes", sqlite3_column_int64(process, 17),
				     sums.peak_bytes);
			EXPECT_EQUAL("peak_blocks", sqlite3_column_int64(process, 16),
				     sums.peak_blocks);
		}
		compare_gaps(db, &sums);
		EXPECT_EQUAL("live blocks", sums.live_blocks,
			     sums.allocations - sums.frees + (uint64_t)sums.adjusted_blocks);
		if (sums.resumed && sums.all_listed)
			EXPECT_EQUAL("held_bytes, as told since", sqlite3_column_int64(process, 18),
				     sums.heap.held_bytes);
		if (!sums.heap.inherited_pages) {
			EXPECT_EQUAL("held_bytes", sqlite3_column_int64(process, 18),
				     sums.heap.held_bytes);
			EXPECT_EQUAL("peak_held_bytes", sqlite3_column_int64(process, 19),
				     sums.heap.peak_held_bytes);
		}
		compare_threads(db, &sums);
		compare_stacks(db, &sums);
		compare_rest(db, &sums);
	}
	printf("process %" PRId64 " (%s): %" PRIu64 " events, %" PRIu64
	       " allocations, %u problems\n",
	       current_process, (const char *)sqlite3_column_text(process, 1), sums.events,
	       sums.allocations, process_problems);
	heap_release(&sums.heap);
	heap_release(&sums.before);
	chunk_reader_free(sums.reader);
	free(sums.threads);
	free(sums.stacks);
}

int main(int argc, char **argv)
{
	int64_t run = 0;
	sqlite3 *db = NULL;
	sqlite3_stmt *processes;
	unsigned count = 0;
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "--allow-lost"))
			allow_lost = true;
		else if (!strcmp(argv[i], "--run") && i + 1 < argc)
			run = atoll(argv[++i]);
		else
			break;
	}
	if (i + 1 != argc) {
		fprintf(stderr, "usage: invariants [--run N] [--allow-lost] DATABASE\n");
		return 2;
	}
	if (sqlite3_open_v2(argv[i], &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		die(db, argv[i]);
	/* A daemon may still be looking up names. */
	sqlite3_busy_timeout(db, 10000);
	processes = prepare(
		db,
		"SELECT process_id, command, events, lost_events, started_ns, "
		"late_events, allocations, allocated_bytes, frees, freed_bytes, reallocations, "
		"failed, temporary, preexisting_frees, live_blocks, live_bytes, peak_blocks, "
		"peak_bytes, held_bytes, peak_held_bytes, forked FROM processes WHERE ?1 IN (0, "
		"run_id) ORDER BY process_id",
		run);
	for (; step(db, processes); count++)
		check_process(db, processes);
	sqlite3_finalize(processes);
	sqlite3_close(db);
	if (!count) {
		printf("no processes\n");
		return 1;
	}
	printf("%u processes, %u violations\n", count, violations);
	return violations ? 1 : 0;
}
