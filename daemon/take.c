/* One event after another: its share of the totals, its row in the open chunk. */
#include "daemon/process.h"

#include <string.h>

#include "proto/event_row.h"

static inline struct node *node_of(struct process *process, uint32_t number)
{
	return &process->nodes[number < process->node_count ? number : 0];
}

/* The node's place in the totals, looked up once. */
static inline uint32_t place_of(struct process *process, struct node *node)
{
	if (!node->total && node->stack_id)
		node->total = totals_stack(&process->totals, node->stack_id);
	return node->total;
}

static inline void count_allocation(struct process *process, struct thread *thread,
				    struct node *node, uint64_t address, uint64_t size_bytes)
{
	totals_allocation(&process->totals, place_of(process, node), size_bytes);
	thread->allocations++;
	thread->allocated_bytes += size_bytes;
	thread->last_block = address;
}

static inline void count_free(struct process *process, struct thread *thread, struct node *node,
			      uint64_t address, uint64_t size_bytes, uint32_t allocated_by)
{
	bool temporary = address == thread->last_block && allocated_by == thread->number;

	totals_free(&process->totals, place_of(process, node), size_bytes, temporary);
	thread->frees++;
	thread->freed_bytes += size_bytes;
	if (temporary)
		thread->last_block = 0;
}

static void take_allocation(struct process *process, struct thread *thread, struct event_row *row,
			    uint32_t stack)
{
	struct node *node = node_of(process, stack);

	row->stack_id = node->stack_id;
	if (!row->address) {
		process->totals.failed++;
		return;
	}
	count_allocation(process, thread, node, row->address, row->size_bytes);
	totals_peak(&process->totals, row->at_ns);
}

static void take_free(struct process *process, struct thread *thread, struct event_row *row,
		      uint32_t stack, const uint64_t *details)
{
	struct node *node = node_of(process, stack);

	row->stack_id = node->stack_id;
	row->allocated_by = (uint32_t)details[1];
	row->freed_stack_id = node_of(process, (uint32_t)(details[1] >> 32))->stack_id;
	if (details[0] <= process->inherited_ticks) {
		row->allocated_at_ns = EVENT_TIME_UNKNOWN;
		process->totals.preexisting_frees++;
		return;
	}
	row->allocated_at_ns = clock_ns(&process->scale, details[0]);
	count_free(process, thread, node, row->address, row->size_bytes, row->allocated_by);
}

static void take_realloc(struct process *process, struct thread *thread, struct event_row *row,
			 uint32_t stack, const uint64_t *details)
{
	struct node *node = node_of(process, stack);
	struct totals *totals = &process->totals;

	row->stack_id = node->stack_id;
	row->old_address = details[0];
	if (row->old_address) {
		struct node *old = node_of(process, (uint32_t)(details[2] >> 32));

		row->allocated_by = (uint32_t)details[2];
		row->old_size_bytes = details[3];
		row->old_usable_bytes = details[4];
		row->old_stack_id = old->stack_id;
		if (details[1] <= process->inherited_ticks)
			row->allocated_at_ns = EVENT_TIME_UNKNOWN;
		else
			row->allocated_at_ns = clock_ns(&process->scale, details[1]);
		if (row->address) {
			totals->reallocations++;
			if (row->allocated_at_ns == EVENT_TIME_UNKNOWN)
				totals->preexisting_frees++;
			else
				count_free(process, thread, old, row->old_address,
					   row->old_size_bytes, row->allocated_by);
		}
	}
	if (!row->address) {
		totals->failed++;
		return;
	}
	count_allocation(process, thread, node, row->address, row->size_bytes);
	totals_peak(totals, row->at_ns);
}

/* A block that was live when recording was switched on. */
static void take_live(struct process *process, struct event_row *row, uint32_t stack,
		      const uint64_t *details)
{
	struct node *node = node_of(process, stack);
	bool known = details[0] > process->inherited_ticks;

	row->stack_id = node->stack_id;
	if (known) {
		row->old_address = row->address;
		row->old_size_bytes = row->size_bytes;
		row->old_usable_bytes = row->usable_bytes;
		row->old_stack_id = row->stack_id;
		row->allocated_at_ns = clock_ns(&process->scale, details[0]);
		row->allocated_by = (uint32_t)details[1];
	}
	gap_listed(process, row->size_bytes, known);
	totals_listed(&process->totals, place_of(process, node), row->size_bytes);
	totals_peak(&process->totals, row->at_ns);
}

static void take_resume(struct process *process, struct event_row *row, const uint64_t *details)
{
	struct totals *totals = &process->totals;

	row->size_bytes = details[0];
	row->usable_bytes = details[1];
	row->allocated_at_ns = gap_end(process, row->at_ns, (uint32_t)details[1]);
	totals_write_off(totals);
	totals_held(totals, details[0] - totals->held_bytes);
}

/* Events about pages. */
static void take_pages(struct process *process, struct event_row *row, uint32_t stack,
		       const uint64_t *details)
{
	struct totals *totals = &process->totals;
	bool ours = row->kind & EVENT_BY_ALLOCATOR;
	bool failed = row->address == UINT64_MAX;

	row->stack_id = node_of(process, stack)->stack_id;
	switch (event_kind_of(row->kind)) {
	case EVENT_SBRK:
	case EVENT_BRK:
		row->old_address = details[0];
		row->size_bytes = details[1];
		if (ours && !failed)
			totals_held(totals, details[1]);
		break;
	case EVENT_MMAP:
		row->size_bytes = details[0];
		row->usable_bytes = details[1];
		if (ours && !failed)
			totals_held(totals, details[0]);
		break;
	case EVENT_MUNMAP:
		row->size_bytes = details[0];
		if (ours)
			totals_held(totals, -details[0]);
		break;
	case EVENT_MREMAP:
		row->size_bytes = details[0];
		row->old_address = details[1];
		row->old_size_bytes = details[2];
		if (ours && !failed)
			totals_held(totals, details[0] - details[2]);
		break;
	case EVENT_UNSPAN:
		row->size_bytes = details[0];
		break;
	case EVENT_MADVISE:
	case EVENT_SPAN:
		row->size_bytes = details[0];
		row->usable_bytes = details[1];
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

/* Programs have tens of thousands of stacks, whose totals no near cache holds: ask for them early. */
#define AHEAD 6u

static inline void look_ahead(struct process *process, const struct batch *batch, uint32_t i)
{
	if (i + 2 * AHEAD < batch->count)
		__builtin_prefetch(node_of(process, batch->stacks[i + 2 * AHEAD]));
	if (i + AHEAD < batch->count) {
		const struct node *node = node_of(process, batch->stacks[i + AHEAD]);

		__builtin_prefetch(&process->totals.stacks[node->total], 1);
	}
}

void take_events(struct process *process, struct thread *thread, struct batch *batch,
		 uint64_t until_ticks)
{
	struct samples *samples = &process->samples;
	uint32_t first = batch->at, i = first;
	const uint64_t *details = batch->details + batch->details_at;
	struct event_row row = { .thread = thread->number };

	if (process->cut) {
		while (batch->at < batch->count && batch->ticks[batch->at] <= until_ticks) {
			batch_skip(batch, 1);
			process->discarded_events++;
		}
		return;
	}

	for (; i < batch->count; i++) {
		uint64_t ticks = batch->ticks[i];
		uint8_t class = batch->classes[i];
		unsigned words;

		if (ticks > until_ticks)
			break;
		look_ahead(process, batch, i);
		words = batch_event_details(batch, i);
		row = (struct event_row){
			.thread = thread->number,
			.kind = batch->kinds[i],
			.seq = batch->first_seq + i,
			.at_ns = clock_ns(&process->scale, ticks),
			.address = batch->addresses[i],
		};
		if (ticks < process->emitted_ticks)
			process->totals.late_events++;
		else
			process->emitted_ticks = ticks;
		if (row.at_ns >= samples->next_ns)
			samples_add(process, row.at_ns);

		if (class) {
			row.size_bytes = batch->sizes[i];
			row.usable_bytes = process->usable_bytes[class];
		} else if (event_is_block(row.kind)) {
			row.size_bytes = details[words - 2];
			row.usable_bytes = details[words - 1];
		}
		switch (event_kind_of(row.kind)) {
		case EVENT_MALLOC:
		case EVENT_CALLOC:
		case EVENT_MEMALIGN:
			take_allocation(process, thread, &row, batch->stacks[i]);
			break;
		case EVENT_FREE:
			take_free(process, thread, &row, batch->stacks[i], details);
			break;
		case EVENT_REALLOC:
			take_realloc(process, thread, &row, batch->stacks[i], details);
			break;
		case EVENT_LIVE:
			take_live(process, &row, batch->stacks[i], details);
			break;
		case EVENT_RESUME:
			take_resume(process, &row, details);
			break;
		case EVENT_MARK:
			row.stack_id = node_of(process, batch->stacks[i])->stack_id;
			row.usable_bytes = details[0];
			mark_set(process, row.at_ns, (uint32_t)details[0]);
			break;
		case EVENT_SBRK:
		case EVENT_BRK:
		case EVENT_MMAP:
		case EVENT_MUNMAP:
		case EVENT_MREMAP:
		case EVENT_MADVISE:
		case EVENT_SPAN:
		case EVENT_UNSPAN:
			take_pages(process, &row, batch->stacks[i], details);
			break;
		case EVENT_NONE:
			break;
		}
		details += words;
		chunks_add(process, &row);
	}
	if (i == first)
		return;
	batch->at = i;
	batch->details_at = (uint32_t)(details - batch->details);
	process->last_ns = row.at_ns;
	process->totals.events += i - first;
	process->dirty = true;
	thread->events += i - first;
	thread->dirty = true;
}
