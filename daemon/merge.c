/*
 * Threads of one process, merged by time. Each thread's events come in order, in batches; an event
 * may be taken once no earlier one can still turn up, that is up to the `watermark`: the lowest
 * bound of all threads, known ones and those whose first event is still unseen. A thread that is
 * slow to fill its buffer would hold up all others, so its buffer is looked into: what lies there
 * is taken in hand, and an empty buffer says that nothing before now is to come. Of a thread that
 * has come and gone only its number is seen there (proto/ring.h), until its events arrive.
 */
#include "daemon/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Events that may wait per running thread before the threads behind are looked at. */
#define WAITING_PER_THREAD (2 * RING_EVENTS)
/* Beyond these, what waits lies on disk, and where there is no room for it either order gives way: a
 * process's bytes, those of all. */
#define WAITING_BYTES_MAX (64u << 20)
#define WAITING_BYTES_ALL (256u << 20)
/* An event stamped just now may not be visible to us yet, nor its buffer's `busy`. */
#define SLACK_TICKS 20000u

/* The memory of a batch that is kept waiting, or is no more. */
static void account(struct process *process, size_t more, size_t less)
{
	process->pending_bytes += more - less;
	process->daemon->pending_bytes += more - less;
}

static void batch_free(struct process *process, struct batch *batch)
{
	struct slab *slabs = batch->slabs;

	account(process, 0, slab_bytes(slabs) + (batch->spilled ? sizeof(*batch) : 0));
	if (batch->spilled)
		free(batch);
	slab_release(&slabs); /* else the batch itself lies in them */
}

/* Puts a checked batch of events that are in hand for the first time behind its thread's queue. */
static void enqueue(struct process *process, struct thread *thread, struct batch *batch)
{
	batch->next = NULL;
	if (thread->last)
		thread->last->next = batch;
	else
		thread->first = batch;
	thread->last = batch;
	process->pending_events += batch->count - batch->at;
	account(process, slab_bytes(batch->slabs), 0);
}

/* Notes that a batch's events are in hand; passes over those that already were. */
static void take_in_hand(struct thread *thread, struct batch *batch)
{
	uint64_t end = batch->first_seq + batch->count;

	if (batch->first_seq < thread->next_seq) {
		uint64_t again = thread->next_seq - batch->first_seq;

		batch_skip(batch, again > batch->count ? batch->count : (uint32_t)again);
	} else {
		thread->gaps += batch->first_seq - thread->next_seq;
	}
	if (end > thread->next_seq)
		thread->next_seq = end;
	if (batch->at < batch->count && batch->ticks[batch->count - 1] > thread->bound_ticks)
		thread->bound_ticks = batch->ticks[batch->count - 1];
}

/* A copy that lives in the batch's own slabs. */
static struct batch *batch_keep(const struct batch *batch, struct slab **slabs)
{
	struct batch *kept = slab_take(slabs, sizeof(*kept));

	if (kept) {
		*kept = *batch;
		kept->slabs = *slabs;
		*slabs = NULL;
	}
	return kept;
}

int merge_add(struct process *process, struct thread *thread, struct batch *batch,
	      struct slab **slabs)
{
	struct batch *kept;

	take_in_hand(thread, batch);
	if (batch->at == batch->count)
		return 0;
	/* Alone: nothing to wait for, and nothing to keep. */
	if (process->active_count == 1 && process->pending_events == 0) {
		if (ring_refresh(&process->ring) != 0 || process->ring.head.buffers_used <= 1) {
			take_events(process, thread, batch, UINT64_MAX);
			return 0;
		}
	}
	kept = batch_keep(batch, slabs);
	if (!kept)
		return -ENOMEM;
	enqueue(process, thread, kept);
	return 0;
}

static uint64_t head_ticks(const struct thread *thread)
{
	const struct batch *batch = thread->first;

	return batch->ticks ? batch->ticks[batch->at] : batch->spill_ticks;
}

/* Has the columns of the next batch in memory. If they are lost on disk, its events are: false. */
static bool bring_back(struct process *process, struct thread *thread)
{
	struct batch *batch = thread->first;

	if (batch->ticks)
		return true;
	if (spill_get(&process->spill, batch)) {
		account(process, slab_bytes(batch->slabs), 0);
		return true;
	}
	thread->gaps += batch->count;
	thread->dirty = process->dirty = true;
	process->pending_events -= batch->count;
	batch->at = batch->count;
	return false;
}

static void sift_down(struct thread **heap, uint32_t count, uint32_t at)
{
	struct thread *moving = heap[at];
	uint64_t ticks = head_ticks(moving);

	for (;;) {
		uint32_t child = at * 2 + 1;

		if (child >= count)
			break;
		if (child + 1 < count && head_ticks(heap[child + 1]) < head_ticks(heap[child]))
			child++;
		if (head_ticks(heap[child]) >= ticks)
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moving;
}

/* Takes all waiting events up to `watermark`, by time. */
static void take_until(struct process *process, uint64_t watermark)
{
	struct thread **heap = process->heap;
	uint32_t count = 0;

	for (uint32_t i = 0; i < process->active_count; i++)
		if (process->active[i]->first)
			heap[count++] = process->active[i];
	for (uint32_t i = count / 2; i-- > 0;)
		sift_down(heap, count, i);
	while (count && head_ticks(heap[0]) <= watermark) {
		struct thread *thread = heap[0];
		struct batch *batch = thread->first;
		uint64_t until = watermark;
		uint32_t before = batch->at;

		/* Its events go on until another thread has an earlier one. */
		for (uint32_t child = 1; child <= 2 && child < count; child++)
			if (head_ticks(heap[child]) < until)
				until = head_ticks(heap[child]);
		if (bring_back(process, thread)) {
			take_events(process, thread, batch, until);
			process->pending_events -= batch->at - before;
		}
		if (batch->at == batch->count) {
			thread->first = batch->next;
			if (!thread->first)
				thread->last = NULL;
			batch_free(process, batch);
			if (!thread->first) {
				heap[0] = heap[--count];
				if (!count)
					break;
			}
		}
		sift_down(heap, count, 0);
	}
}

/* Whether the threads that the latest look did not find have come through the socket since. What
 * they left there may be older than all that is in hand. */
static void see_unseen(struct process *process)
{
	while (process_thread(process, process->threads_whole, false))
		process->threads_whole++;
	if (process->threads_whole > process->looked_threads &&
	    process->looked_ticks > process->unseen_ticks)
		process->unseen_ticks = process->looked_ticks;
}

static uint64_t watermark(struct process *process)
{
	uint64_t lowest;

	see_unseen(process);
	lowest = process->unseen_ticks;
	for (uint32_t i = 0; i < process->active_count; i++) {
		const struct thread *thread = process->active[i];

		if (!thread->ended && thread->bound_ticks < lowest)
			lowest = thread->bound_ticks;
	}
	return lowest;
}

/* Threads that have ended and whose events are all taken need no further look. */
static void retire(struct process *process)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < process->active_count; i++) {
		struct thread *thread = process->active[i];

		if (!thread->ended || thread->first)
			process->active[kept++] = thread;
	}
	process->active_count = kept;
}

/* Leaves out events from the first one on whose stacks are not known yet. */
static void cut_at_unknown_stack(struct process *process, struct batch *batch)
{
	uint32_t words = 0;

	for (uint32_t i = 0; i < batch->count; i++) {
		bool is_free = event_kind_of(batch->kinds[i]) == EVENT_FREE;

		if (!node_ready(process, batch->stacks[i]) ||
		    (is_free &&
		     !node_ready(process, (uint32_t)(batch->details[words + 1] >> 32)))) {
			batch->count = i;
			batch->details_count = words;
			return;
		}
		words += batch_event_details(batch, i);
	}
}

/* Nothing happened between two looks at the header: what it said was true in between. */
static bool same_again(const struct ring *ring, uint32_t slot, const struct ring_buffer_head *head)
{
	struct ring_buffer_head again;

	return ring_read_buffer_head(ring, slot, &again) == 0 && again.thread == head->thread &&
	       again.first_seq == head->first_seq && again.count == head->count;
}

/* Passes over events that will never come, as the socket had no room for them. */
static void pass_dropped(struct thread *thread, const struct ring_buffer_head *head)
{
	if (thread->next_seq < head->dropped_from || thread->next_seq >= head->dropped_to ||
	    head->first_seq < head->dropped_to)
		return;
	thread->gaps += head->dropped_to - thread->next_seq;
	thread->next_seq = head->dropped_to;
	thread->dirty = true;
}

/* One buffer: what its thread has not sent yet. `now`: ticks before anything was looked at. */
static void peek_buffer(struct process *process, uint32_t slot, uint64_t now, enum peek how)
{
	bool final = how == PEEK_FINAL;
	struct ring_buffer_head head;
	struct thread *thread;
	struct batch batch, *kept;
	int error;

	if (ring_read_buffer_head(&process->ring, slot, &head) != 0 || !head.thread)
		return;
	thread = process_thread(process, head.thread, true);
	if (!thread)
		return;
	if (!thread->started) {
		thread->started = true;
		thread->tid = head.tid;
		thread->started_ticks = head.start_ticks;
		memcpy(thread->name, head.name, sizeof(head.name));
		thread->dirty = true;
		process->dirty = true;
	}
	if (thread->ended || (how == PEEK_BEHIND && thread->first))
		return;
	pass_dropped(thread, &head);
	/* Events before these are still in the socket, and come first. */
	if (!final && head.first_seq > thread->next_seq)
		return;
	error = ring_read_events(&process->ring, slot, &head, thread->next_seq, &batch);
	if (error == -ENODATA) {
		/* Sent, but only in part, when the process died: nobody has the rest. */
		if (final && head.first_seq > thread->next_seq) {
			thread->gaps += head.first_seq - thread->next_seq;
			thread->next_seq = head.first_seq;
			thread->dirty = true;
		}
		if ((!head.busy || head.busy == RING_PARKED) &&
		    now - SLACK_TICKS > thread->bound_ticks &&
		    same_again(&process->ring, slot, &head))
			thread->bound_ticks = now - SLACK_TICKS;
		return;
	}
	if (error)
		return;
	if (batch_check(&batch, process->class_count) != 0) {
		slab_release(&batch.slabs);
		return;
	}
	if (!final) { /* else they all were read before */
		process_read_nodes(process, false);
		cut_at_unknown_stack(process, &batch);
	}
	if (!batch.count) {
		slab_release(&batch.slabs);
		return;
	}
	take_in_hand(thread, &batch);
	kept = batch.at < batch.count ? batch_keep(&batch, &batch.slabs) : NULL;
	if (kept)
		enqueue(process, thread, kept);
	else
		slab_release(&batch.slabs);
}

void merge_peek(struct process *process, enum peek how)
{
	uint64_t now = clock_ticks_now(process->cycles);

	if (ring_refresh(&process->ring) != 0)
		return;
	/* A look that still waits for threads stays: there may be new ones at every look. */
	see_unseen(process);
	if (process->looked_ticks <= process->unseen_ticks) {
		process->looked_ticks = now;
		process->looked_threads = process->ring.head.threads;
		if (!process->looked_threads)
			process->looked_threads = 1; /* begins before there is a memory */
	}
	for (uint32_t slot = 0; slot < process->ring.head.buffers_used; slot++)
		peek_buffer(process, slot, now, how);
}

static bool no_room(const struct process *process)
{
	return process->pending_bytes > WAITING_BYTES_MAX ||
	       process->daemon->pending_bytes > WAITING_BYTES_ALL;
}

/* Writes everything that waits to disk. */
static void spill_all(struct process *process)
{
	for (uint32_t i = 0; i < process->active_count; i++) {
		struct thread *thread = process->active[i];

		for (struct batch **link = &thread->first; *link; link = &(*link)->next) {
			struct batch *batch = *link, *stub;

			if (!batch->ticks)
				continue;
			stub = spill_put(&process->spill, process->daemon->writer.path, batch);
			if (!stub)
				return;
			account(process, sizeof(*stub), 0);
			stub->next = batch->next;
			*link = stub;
			if (thread->last == batch)
				thread->last = stub;
			batch_free(process, batch);
		}
	}
}

/* Threads that have ended wait for others, and hold up nobody. */
static uint32_t not_ended(const struct process *process)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < process->active_count; i++)
		count += !process->active[i]->ended;
	return count;
}

void merge_run(struct process *process)
{
	if (!process->pending_events) {
		retire(process);
		return;
	}
	take_until(process, watermark(process));
	if (process->pending_events > WAITING_PER_THREAD * (not_ended(process) + 1)) {
		merge_peek(process, PEEK_BEHIND);
		take_until(process, watermark(process));
	}
	if (no_room(process))
		spill_all(process);
	if (no_room(process))
		take_until(process, UINT64_MAX);
	retire(process);
}

void merge_flush(struct process *process)
{
	take_until(process, UINT64_MAX);
	retire(process);
}

void merge_release(struct process *process)
{
	for (uint32_t i = 0; i < process->threads_size; i++) {
		struct thread *thread = process->threads[i];

		while (thread && thread->first) {
			struct batch *batch = thread->first;

			thread->first = batch->next;
			batch_free(process, batch);
		}
		free(thread);
	}
	spill_release(&process->spill);
}
