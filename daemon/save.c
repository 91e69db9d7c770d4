/* A process's rows: itself, its threads, what its stacks and sizes add up to. */
#include "daemon/process.h"

/* Totals may take this part of the time: writing them for a while is paid for by a pause. */
#define TOTALS_SHARE 10u

static void save_threads(struct process *process)
{
	struct writer *writer = &process->daemon->writer;

	for (uint32_t i = 0; i < process->threads_size; i++) {
		struct thread *thread = process->threads[i];
		uint64_t values[] = { (uint64_t)process->process_id, 0, 0, 0, 0, 0 };
		sqlite3_stmt *set;

		if (!thread || !thread->dirty)
			continue;
		values[1] = thread->number;
		values[2] = thread->tid;
		set = writer_statement(writer, SQL_THREAD_SET);
		writer_bind(set, 1, values, 3);
		writer_bind_text(set, 4, thread->name);
		values[0] = clock_ns(&process->scale, thread->started_ticks);
		writer_bind(set, 5, values, 1);
		if (set && thread->ended_ticks) {
			values[0] = clock_ns(&process->scale, thread->ended_ticks);
			writer_bind(set, 6, values, 1);
		}
		writer_bind(set, 7,
			    (uint64_t[]){ thread->events, thread->gaps, thread->allocations,
					  thread->allocated_bytes, thread->frees,
					  thread->freed_bytes },
			    6);
		if (writer_run(writer, set) != 0)
			return;
		thread->dirty = false;
	}
}

static void save_stacks(struct process *process)
{
	struct writer *writer = &process->daemon->writer;
	struct totals *totals = &process->totals;

	for (uint32_t i = 0; i < totals->stack_count; i++) {
		struct stack_total *total = &totals->stacks[i];
		uint64_t blocks = totals_live_blocks(total);
		uint64_t bytes = totals_live_bytes(total);
		uint64_t peak_blocks, peak_bytes;
		sqlite3_stmt *set;

		if (!total->dirty && !(total->peak_differs && total->epoch != totals->epoch))
			continue;
		stack_total_peak(totals, total, &peak_blocks, &peak_bytes);
		set = writer_statement(writer, SQL_TOTAL_SET);
		writer_bind(set, 1,
			    (uint64_t[]){ (uint64_t)process->process_id, total->stack_id,
					  total->allocations, total->allocated_bytes, total->frees,
					  total->freed_bytes, total->temporary, peak_blocks,
					  peak_bytes, blocks, bytes },
			    11);
		if (writer_run(writer, set) != 0)
			return;
		total->dirty = false;
		total->peak_differs = peak_blocks != blocks || peak_bytes != bytes;
	}
}

static void save_sizes(struct process *process)
{
	struct writer *writer = &process->daemon->writer;

	for (unsigned bucket = 0; bucket < SIZE_BUCKETS; bucket++) {
		const struct size_total *size = &process->totals.sizes[bucket];
		sqlite3_stmt *set;

		if (!(size->allocations | size->frees | size->listed))
			continue;
		set = writer_statement(writer, SQL_SIZE_SET);
		writer_bind(set, 1,
			    (uint64_t[]){ (uint64_t)process->process_id, size_bucket_limit(bucket),
					  size->allocations, size->allocated_bytes,
					  totals_live_blocks(size), totals_live_bytes(size) },
			    6);
		if (writer_run(writer, set) != 0)
			return;
	}
}

static void save_cuts(struct process *process)
{
	struct writer *writer = &process->daemon->writer;

	for (unsigned reason = 0; reason < STACK_CUT_COUNT; reason++) {
		uint64_t values[] = { (uint64_t)process->process_id, process->cut_reasons[reason] };
		sqlite3_stmt *set;

		if (!process->cut_reasons[reason])
			continue;
		set = writer_statement(writer, SQL_CUT_SET);
		writer_bind(set, 1, values, 2);
		writer_bind_text(set, 3, store_cut_name((enum stack_cut)reason));
		if (writer_run(writer, set) != 0)
			return;
	}
}

static void save_title(struct process *process)
{
	struct writer *writer = &process->daemon->writer;
	struct ring ring = process->ring; /* a copy: the merge goes by what the head said */
	char text[TITLE_BYTES];
	sqlite3_stmt *set;

	if (!title_read(process->peer_pid, text))
		return;
	/* After an exec it is somebody else's. */
	if (ring_refresh(&ring) != 0 || ring.head.end_how != PROCESS_RUNNING)
		return;
	if (!title_set(&process->title, text))
		return;
	set = writer_statement(writer, SQL_PROCESS_TITLE);
	writer_bind(set, 1, (uint64_t[]){ (uint64_t)process->process_id }, 1);
	writer_bind_text(set, 2, text);
	writer_run(writer, set);
}

void save_process_row(struct process *process)
{
	const struct totals *totals = &process->totals;
	struct writer *writer = &process->daemon->writer;
	sqlite3_stmt *set;

	set = writer_statement(writer, SQL_PROCESS_SET);
	writer_bind(set, 1,
		    (uint64_t[]){ (uint64_t)process->process_id,
				  process->stored_events + process->uncommitted_events,
				  process_lost_events(process),
				  process->losses[5],
				  process->losses[2],
				  process->losses[3],
				  totals->allocations,
				  totals->allocated_bytes,
				  totals->frees,
				  totals->freed_bytes,
				  totals->reallocations,
				  totals->failed,
				  totals->temporary,
				  totals->preexisting_frees,
				  totals_live_blocks(totals),
				  totals_live_bytes(totals),
				  totals->peak_blocks,
				  totals->peak_bytes,
				  totals->peak_ns,
				  totals->held_bytes,
				  totals->peak_held_bytes,
				  process->samples.peak_rss_bytes,
				  totals->late_events },
		    23);
	writer_run(writer, set);
	save_cuts(process);
}

void save_process(struct process *process, bool final)
{
	uint64_t now = clock_monotonic_ns();

	if (!process->dirty && !final)
		return;
	if (!final)
		save_title(process);
	process->dirty = false;
	if (!final && now < process->totals_due_ns) {
		process->dirty = true; /* the rest later */
	} else {
		save_stacks(process);
		save_sizes(process);
		save_threads(process);
		process->totals_due_ns = clock_monotonic_ns();
		process->totals_due_ns += (process->totals_due_ns - now) * TOTALS_SHARE;
	}
	samples_save(process);
	gap_save(process);
	save_process_row(process);
}
