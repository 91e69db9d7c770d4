/*
 * Events on their way into chunks. Each process that has some holds a chunk writer; only so many
 * may at once, so that memory does not grow with the number of programs: when one more is needed,
 * the fullest is written out.
 */
#include "daemon/process.h"

#include <errno.h>
#include <stdlib.h>

#define WRITERS_MAX 32u

static struct chunk_writer *spare[WRITERS_MAX];
static unsigned spare_count;

static void give_back(struct process *process)
{
	if (!process->chunk.writer)
		return;
	process->daemon->writers_in_use--;
	if (spare_count < WRITERS_MAX && chunk_writer_events(process->chunk.writer) == 0)
		spare[spare_count++] = process->chunk.writer;
	else
		chunk_writer_free(process->chunk.writer);
	process->chunk.writer = NULL;
}

static void write_out(struct process *process)
{
	struct daemon *daemon = process->daemon;
	struct chunk_bounds bounds;
	const void *blob;
	size_t bytes;
	int64_t chunk_id;
	unsigned events = chunk_writer_events(process->chunk.writer);

	if (!events)
		return;
	if (chunk_writer_finish(process->chunk.writer, daemon->press, &blob, &bytes, &bounds) != 0 ||
	    writer_put_chunk(&daemon->writer, process->process_id, blob, bytes, &bounds,
			     &chunk_id) != 0)
		process->discarded_events += events;
	else
		process->uncommitted_events += events;
}

static struct chunk_writer *take_writer(struct daemon *daemon)
{
	if (daemon->writers_in_use >= WRITERS_MAX) {
		struct process *fullest = NULL;

		for (struct process *p = daemon->processes; p; p = p->next)
			if (p->chunk.writer &&
			    (!fullest || chunk_writer_events(p->chunk.writer) >
						 chunk_writer_events(fullest->chunk.writer)))
				fullest = p;
		if (fullest)
			chunks_finish(fullest);
	}
	daemon->writers_in_use++;
	return spare_count ? spare[--spare_count] : chunk_writer_new();
}

int chunks_add(struct process *process, const struct event_row *row)
{
	struct open_chunk *chunk = &process->chunk;
	int error;

	if (process->cut) {
		process->discarded_events++;
		return 0;
	}
	if (!chunk->writer) {
		chunk->writer = take_writer(process->daemon);
		if (!chunk->writer) {
			process->daemon->writers_in_use--;
			process->discarded_events++;
			return -ENOMEM;
		}
		chunk->first_wall_ns = clock_monotonic_ns();
	}
	error = chunk_writer_add(chunk->writer, row);
	if (error == -ENOSPC) {
		write_out(process);
		error = chunk_writer_add(chunk->writer, row);
	}
	if (error)
		process->discarded_events++;
	return error;
}

void chunks_finish(struct process *process)
{
	if (!process->chunk.writer)
		return;
	write_out(process);
	give_back(process);
}

void chunks_release(struct process *process)
{
	give_back(process);
	free(process->chunk.tail_blob);
	process->chunk.tail_blob = NULL;
}
