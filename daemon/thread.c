/* The threads of a process, by their numbers. */
#include "daemon/process.h"

#include <stdlib.h>

static bool activate(struct process *process, struct thread *thread)
{
	if (process->active_count == process->active_capacity) {
		uint32_t capacity = process->active_capacity ? process->active_capacity * 2 : 8;
		struct thread **active =
			realloc(process->active, capacity * sizeof(struct thread *));
		struct thread **heap;

		if (!active)
			return false;
		process->active = active;
		heap = realloc(process->heap, capacity * sizeof(struct thread *));
		if (!heap)
			return false;
		process->heap = heap;
		process->active_capacity = capacity;
	}
	process->active[process->active_count++] = thread;
	return true;
}

struct thread *process_thread(struct process *process, uint32_t number, bool make)
{
	uint32_t mask = process->threads_size - 1, at;
	struct thread *thread;

	if (process->threads_size) {
		for (at = number * 0x9e3779b1u; (thread = process->threads[at & mask]); at++)
			if (thread->number == number)
				return thread;
	}
	if (!make || number > process->thread_count + THREAD_GAP_MAX)
		return NULL;
	if (process->thread_count * 2 >= process->threads_size) {
		uint32_t size = process->threads_size ? process->threads_size * 2 : 16;
		struct thread **table = calloc(size, sizeof(struct thread *));

		if (!table)
			return NULL;
		for (uint32_t i = 0; i < process->threads_size; i++) {
			thread = process->threads[i];
			if (!thread)
				continue;
			for (at = thread->number * 0x9e3779b1u; table[at & (size - 1)]; at++)
				;
			table[at & (size - 1)] = thread;
		}
		free(process->threads);
		process->threads = table;
		process->threads_size = size;
		mask = size - 1;
	}
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		return NULL;
	thread->number = number;
	thread->started_ticks = process->started_ticks;
	if (!activate(process, thread)) {
		free(thread);
		return NULL;
	}
	for (at = number * 0x9e3779b1u; process->threads[at & mask]; at++)
		;
	process->threads[at & mask] = thread;
	process->thread_count++;
	return thread;
}
