/* Marks that a program sets: its words come first, the event that says when follows in its order of time. */
#include "daemon/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/run.h"

/* A program that marks each of its steps may have any number of them. */
#define MARKS_MAX 10000u
#define LABEL_MAX 200

struct mark_name {
	struct mark_name *next;
	uint32_t number;
	char label[];
};

static void note_limit(struct process *process, uint64_t at_ns)
{
	char text[128];

	snprintf(text, sizeof(text), "process %d set more than %u marks; the rest is not stored",
		 (int)process->pid, MARKS_MAX);
	writer_note(&process->daemon->writer, process->run->run_id, process->process_id, at_ns,
		    text);
}

int mark_name(struct process *process, const Heaptape__Mark *message)
{
	size_t bytes = strnlen(message->text, LABEL_MAX);
	struct mark_name *name;

	if (!message->number)
		return -EPROTO;
	if (process->cut || process->mark_names_waiting >= MARKS_MAX)
		return 0;
	name = malloc(sizeof(*name) + bytes + 1);
	if (!name)
		return 0; /* the mark has a number for a name, then */
	name->number = message->number;
	memcpy(name->label, message->text, bytes);
	name->label[bytes] = '\0';
	name->next = process->mark_names;
	process->mark_names = name;
	process->mark_names_waiting++;
	return 0;
}

/* NULL: there is none. Else it is the caller's. */
static struct mark_name *find_name(struct process *process, uint32_t number)
{
	for (struct mark_name **link = &process->mark_names; *link; link = &(*link)->next) {
		struct mark_name *name = *link;

		if (name->number == number) {
			*link = name->next;
			process->mark_names_waiting--;
			return name;
		}
	}
	return NULL;
}

void mark_set(struct process *process, uint64_t at_ns, uint32_t number)
{
	struct writer *writer = &process->daemon->writer;
	struct mark_name *name = find_name(process, number);
	struct statement *add;

	if (process->marks == MARKS_MAX)
		note_limit(process, at_ns);
	if (process->marks++ < MARKS_MAX && !process->cut) {
		add = writer_statement(writer, SQL_MARK_ADD);
		writer_bind(add, { P_run_id, (uint64_t)process->run->run_id }, { P_at_ns, at_ns },
			    { P_processes, 1 }, { P_missing, 0 },
			    { P_live_blocks, totals_live_blocks(&process->totals) },
			    { P_live_bytes, totals_live_bytes(&process->totals) });
		writer_bind_known(add, P_process_id, true, (uint64_t)process->process_id);
		writer_bind_text(add, P_label, name ? name->label : "");
		writer_run(writer, add); /* a failed writer ends the recording in its own way */
	}
	free(name);
}

void marks_free(struct process *process)
{
	while (process->mark_names) {
		struct mark_name *next = process->mark_names->next;

		free(process->mark_names);
		process->mark_names = next;
	}
	process->mark_names_waiting = 0;
}
