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

static void bind_known(sqlite3_stmt *add, int at, uint64_t value)
{
	if (!add)
		return;
	if (value)
		writer_bind(add, at, &value, 1);
	else
		sqlite3_bind_null(add, at);
}

static uint64_t stack_of(const struct process *process, uint32_t node)
{
	return node < process->node_count ? process->nodes[node].stack_id : 0;
}

int process_misuse(struct process *process, const Heaptape__Misuse *message)
{
	struct writer *writer = &process->daemon->writer;
	uint64_t at_ns = clock_ns(&process->scale, message->ticks);
	sqlite3_stmt *add;

	if (message->kind == MISUSE_NONE || message->kind >= MISUSE_KIND_COUNT)
		return -EPROTO;
	if (process->cut || process->misuses > MISUSES_MAX)
		return 0;
	if (process->misuses++ == MISUSES_MAX) {
		note_limit(process, at_ns);
		return 0;
	}
	add = writer_statement(writer, SQL_MISUSE_ADD);
	writer_bind(add, 1, (uint64_t[]){ (uint64_t)process->process_id, at_ns }, 2);
	bind_known(add, 3, message->thread);
	writer_bind_text(add, 4, misuse_kind_name(message->kind));
	writer_bind(add, 5, (uint64_t[]){ message->address }, 1);
	bind_known(add, 6, message->block);
	if (message->block)
		writer_bind(add, 7, (uint64_t[]){ message->size_bytes }, 1);
	else
		bind_known(add, 7, 0);
	bind_known(add, 8, stack_of(process, message->allocated_stack));
	bind_known(add, 9, stack_of(process, message->freed_stack));
	bind_known(add, 10, stack_of(process, message->stack));
	writer_bind_text(add, 11, message->text);
	writer_run(writer, add); /* a failed writer ends the recording in its own way */
	return 0;
}
