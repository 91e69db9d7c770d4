/* A process's rows: itself, its threads, what its stacks and sizes add up to. */
#include "daemon/process.h"

/* Totals may take this part of the time: writing them for a while is paid for by a pause. */
#define TOTALS_SHARE 10u

static void save_threads(struct process *process)
{
	struct writer *writer = &process->daemon->writer;

	for (uint32_t i = 0; i < process->threads_size; i++) {
		struct thread *thread = process->threads[i];
		struct statement *set;

		if (!thread || !thread->dirty)
			continue;
		set = writer_statement(writer, SQL_THREAD_SET);
		writer_bind(set, { P_process_id, (uint64_t)process->process_id },
			    { P_number, thread->number }, { P_tid, thread->tid },
			    { P_started_ns, clock_ns(&process->scale, thread->started_ticks) },
			    { P_events, thread->events }, { P_lost_events, thread->gaps },
			    { P_allocations, thread->allocations },
			    { P_allocated_bytes, thread->allocated_bytes },
			    { P_frees, thread->frees }, { P_freed_bytes, thread->freed_bytes });
		writer_bind_text(set, P_name, thread->name);
		writer_bind_known(set, P_ended_ns, thread->ended_ticks,
				  clock_ns(&process->scale, thread->ended_ticks));
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
		struct statement *set;

		if (!total->dirty && !(total->peak_differs && total->epoch != totals->epoch))
			continue;
		stack_total_peak(totals, total, &peak_blocks, &peak_bytes);
		set = writer_statement(writer, SQL_TOTAL_SET);
		writer_bind(set, { P_process_id, (uint64_t)process->process_id },
			    { P_stack_id, total->stack_id }, { P_allocations, total->allocations },
			    { P_allocated_bytes, total->allocated_bytes },
			    { P_frees, total->frees }, { P_freed_bytes, total->freed_bytes },
			    { P_temporary, total->temporary }, { P_peak_blocks, peak_blocks },
			    { P_peak_bytes, peak_bytes }, { P_live_blocks, blocks },
			    { P_live_bytes, bytes });
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
		struct statement *set;

		if (!(size->allocations | size->frees | size->listed))
			continue;
		set = writer_statement(writer, SQL_SIZE_SET);
		writer_bind(set, { P_process_id, (uint64_t)process->process_id },
			    { P_up_to_bytes, size_bucket_limit(bucket) },
			    { P_allocations, size->allocations },
			    { P_allocated_bytes, size->allocated_bytes },
			    { P_live_blocks, totals_live_blocks(size) },
			    { P_live_bytes, totals_live_bytes(size) });
		if (writer_run(writer, set) != 0)
			return;
	}
}

static void save_cuts(struct process *process)
{
	struct writer *writer = &process->daemon->writer;

	for (unsigned reason = 0; reason < STACK_CUT_COUNT; reason++) {
		struct statement *set;

		if (!process->cut_reasons[reason])
			continue;
		set = writer_statement(writer, SQL_CUT_SET);
		writer_bind(set, { P_process_id, (uint64_t)process->process_id },
			    { P_stacks, process->cut_reasons[reason] });
		writer_bind_text(set, P_reason, store_cut_name((enum stack_cut)reason));
		if (writer_run(writer, set) != 0)
			return;
	}
}

static void save_title(struct process *process)
{
	struct writer *writer = &process->daemon->writer;
	struct ring ring = process->ring; /* a copy: the merge goes by what the head said */
	char text[TITLE_BYTES];
	struct statement *set;

	if (!title_read(process->peer_pid, text))
		return;
	/* After an exec it is somebody else's. */
	if (ring_refresh(&ring) != 0 || ring.head.end_how != PROCESS_RUNNING)
		return;
	if (!title_set(&process->title, text))
		return;
	set = writer_statement(writer, SQL_PROCESS_TITLE);
	writer_bind(set, { P_process_id, (uint64_t)process->process_id });
	writer_bind_text(set, P_title, text);
	writer_run(writer, set);
}

void save_process_row(struct process *process)
{
	const struct totals *totals = &process->totals;
	struct writer *writer = &process->daemon->writer;
	struct statement *set;

	set = writer_statement(writer, SQL_PROCESS_SET);
	writer_bind(set, { P_process_id, (uint64_t)process->process_id },
		    { P_events, process->stored_events + process->uncommitted_events },
		    { P_lost_events, process_lost_events(process) },
		    { P_foreign_frees, process->losses[5] }, { P_cut_stacks, process->losses[2] },
		    { P_wait_ns, process->losses[3] }, { P_allocations, totals->allocations },
		    { P_allocated_bytes, totals->allocated_bytes }, { P_frees, totals->frees },
		    { P_freed_bytes, totals->freed_bytes },
		    { P_reallocations, totals->reallocations }, { P_failed, totals->failed },
		    { P_temporary, totals->temporary },
		    { P_preexisting_frees, totals->preexisting_frees },
		    { P_live_blocks, totals_live_blocks(totals) },
		    { P_live_bytes, totals_live_bytes(totals) },
		    { P_peak_blocks, totals->peak_blocks }, { P_peak_bytes, totals->peak_bytes },
		    { P_peak_ns, totals->peak_ns }, { P_held_bytes, totals->held_bytes },
		    { P_peak_held_bytes, totals->peak_held_bytes },
		    { P_peak_rss_bytes, process->samples.peak_rss_bytes },
		    { P_late_events, totals->late_events });
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
