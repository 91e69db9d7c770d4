/*
 * Events on their way into chunks. Each process that has some holds a chunk writer; only so many
 * may at once, so that memory does not grow with the number of programs: when one more is needed,
 * the fullest is written out.
 *
 * A live view wants the events of the last moment too, so a chunk is written before it is full. A
 * slow program would leave a trail of tiny chunks; instead its last one, the tail, is read back
 * when more events come, and replaced, until it is of some size.
 */
#include "daemon/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WRITERS_MAX 32u
#define TAIL_EVENTS_MAX 8192u

static struct chunk_writer *spare[WRITERS_MAX];
static unsigned spare_count;
static struct chunk_reader *reader;

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

static void forget_tail(struct open_chunk *chunk)
{
	free(chunk->tail_blob);
	chunk->tail_blob = NULL;
	chunk->tail_id = 0;
	chunk->tail_events = 0;
}

/* Removes the tail's row, which the chunk about to be written contains. */
static int replace_tail(struct process *process)
{
	struct writer *writer = &process->daemon->writer;
	struct statement *remove;

	if (!process->chunk.tail_id)
		return 0;
	remove = writer_statement(writer, SQL_CHUNK_REMOVE);
	writer_bind(remove, { P_chunk_id, (uint64_t)process->chunk.tail_id });
	return writer_run(writer, remove);
}

/* Writes the open chunk. `as_tail`: keeps it as the tail when it is short. */
static void write_out(struct process *process, bool as_tail)
{
	struct daemon *daemon = process->daemon;
	struct open_chunk *chunk = &process->chunk;
	unsigned events = chunk_writer_events(chunk->writer), tail = chunk->tail_events;
	struct chunk_bounds bounds;
	const void *blob;
	size_t bytes;
	int64_t chunk_id;

	if (!events)
		return;
	if (process->cut) {
		process->discarded_events += events - tail;
		return;
	}
	if (chunk_writer_finish(chunk->writer, daemon->press, &blob, &bytes, &bounds) != 0 ||
	    replace_tail(process) != 0 ||
	    writer_put_chunk(&daemon->writer, process->process_id, blob, bytes, &bounds,
			     &chunk_id) != 0) {
		process->discarded_events += events - tail;
		forget_tail(chunk);
		return;
	}
	process_note_commits(process);
	process->uncommitted_events += events - tail;
	forget_tail(chunk);
	if (!as_tail || events > TAIL_EVENTS_MAX)
		return;
	chunk->tail_blob = malloc(bytes);
	if (!chunk->tail_blob)
		return;
	memcpy(chunk->tail_blob, blob, bytes);
	chunk->tail_bytes = bytes;
	chunk->tail_id = chunk_id;
	chunk->tail_events = events;
}

/* Puts the tail's events into the empty writer again; forgets the tail when that fails. */
static void read_tail(struct open_chunk *chunk)
{
	struct chunk_columns columns;
	struct event_row row;

	if (!reader)
		reader = chunk_reader_new();
	if (!reader || chunk_reader_decode(reader, chunk->tail_blob, chunk->tail_bytes, CHUNK_ALL,
					   &columns) != 0) {
		forget_tail(chunk);
		return;
	}
	for (unsigned i = 0; i < columns.events; i++) {
		chunk_row(&columns, i, &row);
		if (chunk_writer_add(chunk->writer, &row) != 0) {
			/* Rare enough to begin again without it. */
			chunk_writer_free(chunk->writer);
			chunk->writer = chunk_writer_new();
			forget_tail(chunk);
			return;
		}
	}
	free(chunk->tail_blob);
	chunk->tail_blob = NULL;
}

static bool take_writer(struct process *process)
{
	struct daemon *daemon = process->daemon;
	struct open_chunk *chunk = &process->chunk;

	if (daemon->writers_in_use >= WRITERS_MAX) {
		struct process *fullest = NULL;

		for (struct process *p = daemon->processes; p; p = p->next)
			if (p->chunk.writer &&
			    (!fullest || chunk_writer_events(p->chunk.writer) >
						 chunk_writer_events(fullest->chunk.writer)))
				fullest = p;
		if (fullest)
			chunks_show(fullest);
	}
	chunk->writer = spare_count ? spare[--spare_count] : chunk_writer_new();
	if (chunk->writer && chunk->tail_blob)
		read_tail(chunk);
	if (!chunk->writer)
		return false;
	daemon->writers_in_use++;
	return true;
}

int chunks_add(struct process *process, const struct event_row *row)
{
	struct open_chunk *chunk = &process->chunk;
	int error;

	if (process->cut || (!chunk->writer && !take_writer(process))) {
		process->discarded_events++;
		return 0;
	}
	error = chunk_writer_add(chunk->writer, row);
	if (error == -ENOSPC) {
		write_out(process, false);
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
	write_out(process, false);
	give_back(process);
}

void chunks_show(struct process *process)
{
	if (!process->chunk.writer)
		return;
	write_out(process, true);
	give_back(process);
}

void chunks_release(struct process *process)
{
	give_back(process);
	forget_tail(&process->chunk);
}
