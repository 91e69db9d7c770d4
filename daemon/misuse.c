/* Misuse of the heap by a program: one row each. */
#include "daemon/process.h"

#include <errno.h>
#include <stdio.h>

#include "daemon/run.h"

/* A program that goes on after each of its errors may have any number of them. */
#define MISUSES_MAX 10000u

static void note_limit(struct process *process, uint64_t at_ns)
{
	char text[128];

	snprintf(text, sizeof(text),
		 "process %d misused its heap more than %u times; the rest is not stored",
		 (int)process->pid, MISUSES_MAX);
	writer_note(&process->daemon->writer, process->run->run_id, process->process_id, at_ns,
		    text);
}

static void bind_known(struct statement *add, enum writer_name name, uint64_t value)
{
	writer_bind_known(add, name, value, value);
}

static uint64_t stack_of(const struct process *process, uint32_t node)
{
	return node < process->node_count ? process->nodes[node].stack_id : 0;
}

int process_misuse(struct process *process, const Heaptape__Misuse *message)
{
	struct writer *writer = &process->daemon->writer;
	uint64_t at_ns = clock_ns(&process->scale, message->ticks);
	struct statement *add;

	if (message->kind == MISUSE_NONE || message->kind >= MISUSE_KIND_COUNT)
		return -EPROTO;
	if (process->cut || process->misuses > MISUSES_MAX)
		return 0;
	if (process->misuses++ == MISUSES_MAX) {
		note_limit(process, at_ns);
		return 0;
	}
	add = writer_statement(writer, SQL_MISUSE_ADD);
	writer_bind(add, { P_process_id, (uint64_t)process->process_id }, { P_at_ns, at_ns },
		    { P_address, message->address });
	writer_bind_text(add, P_kind, misuse_kind_name(message->kind));
	bind_known(add, P_thread, message->thread);
	bind_known(add, P_block_address, message->block);
	writer_bind_known(add, P_size_bytes, message->block, message->size_bytes);
	bind_known(add, P_allocated_stack_id, stack_of(process, message->allocated_stack));
	bind_known(add, P_freed_stack_id, stack_of(process, message->freed_stack));
	bind_known(add, P_stack_id, stack_of(process, message->stack));
	writer_bind_text(add, P_text, message->text);
	writer_run(writer, add); /* a failed writer ends the recording in its own way */
	return 0;
}
