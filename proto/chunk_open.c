/* A reader's life, and the outer layer of a chunk: header, checksum, streams. */
#include "proto/chunk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "proto/chunk_reader.h"

static const uint8_t stream_most[CHUNK_STREAM_COUNT] = {
#define ROW(NAME, most) most,
	CHUNK_STREAMS(ROW)
#undef ROW
};

/* However short a stream is, and whatever it holds, events read from it stay within this. */
static size_t stream_room(unsigned stream)
{
	return (size_t)stream_most[stream] * CHUNK_MAX_EVENTS + 64;
}

static const char *const stream_names[CHUNK_STREAM_COUNT] = {
#define ROW(NAME, most) #NAME,
	CHUNK_STREAMS(ROW)
#undef ROW
};

#define WIDE_COLUMNS 9
#define NARROW_COLUMNS 7 /* five columns, block_event and old_written */
#define BYTE_COLUMNS 3	 /* kind, block_class and odd */

struct chunk_reader *chunk_reader_new(void)
{
	struct chunk_reader *reader = calloc(1, sizeof(*reader));
	size_t n = CHUNK_MAX_EVENTS;

	if (!reader)
		return NULL;
	reader->zstd = ZSTD_createDCtx();
	for (unsigned i = 0; i < CHUNK_STREAM_COUNT; i++)
		reader->streams_bytes += stream_room(i);
	reader->streams = mmap(NULL, reader->streams_bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reader->streams == MAP_FAILED)
		reader->streams = NULL;
	reader->columns = calloc(n, 8 * WIDE_COLUMNS + 4 * NARROW_COLUMNS + BYTE_COLUMNS);
	reader->sites = malloc(n * sizeof(*reader->sites));
	reader->thread_capacity = 64;
	reader->thread_low = UINT32_MAX;
	reader->next_seq = calloc(reader->thread_capacity, sizeof(*reader->next_seq));
	if (!reader->zstd || !reader->streams || !reader->columns || !reader->sites ||
	    !reader->next_seq) {
		chunk_reader_free(reader);
		return NULL;
	}

	uint64_t **wide[WIDE_COLUMNS] = { &reader->at_ns,	    &reader->seq,
					  &reader->address,	    &reader->size_bytes,
					  &reader->usable_bytes,    &reader->allocated_at_ns,
					  &reader->old_address,	    &reader->old_size_bytes,
					  &reader->old_usable_bytes };
	uint32_t **narrow[NARROW_COLUMNS] = { &reader->stack_id,      &reader->thread,
					      &reader->allocated_by,  &reader->old_stack_id,
					      &reader->block_event,   &reader->old_written,
					      &reader->freed_stack_id };
	uint8_t *at = reader->columns;

	for (unsigned i = 0; i < WIDE_COLUMNS; i++, at += 8 * n)
		*wide[i] = (uint64_t *)at;
	for (unsigned i = 0; i < NARROW_COLUMNS; i++, at += 4 * n)
		*narrow[i] = (uint32_t *)at;
	reader->kind = at;
	reader->block_class = at + n;
	reader->odd = at + 2 * n;
	return reader;
}

void chunk_reader_free(struct chunk_reader *reader)
{
	if (!reader)
		return;
	ZSTD_freeDCtx(reader->zstd);
	if (reader->streams)
		munmap(reader->streams, reader->streams_bytes);
	free(reader->columns);
	free(reader->sites);
	free(reader->next_seq);
	free(reader);
}

const char *chunk_reader_error(const struct chunk_reader *reader)
{
	return reader->error;
}

int chunk_reader_bad(struct chunk_reader *reader, const char *what)
{
	snprintf(reader->error, sizeof(reader->error), "damaged: %s", what);
	return -EBADMSG;
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return value;
}

int chunk_reader_streams(struct chunk_reader *reader, const uint8_t *blob, size_t bytes,
			 uint32_t needed)
{
	unsigned streams;
	uint64_t sum;
	size_t at;

	if (bytes < CHUNK_HEADER_BYTES || get32(blob) != CHUNK_MAGIC)
		return chunk_reader_bad(reader, "it does not begin like a chunk");
	if (blob[4] > CHUNK_VERSION) {
		snprintf(reader->error, sizeof(reader->error),
			 "written by a newer heaptape (chunk version %u, this one reads up to %u)",
			 blob[4], CHUNK_VERSION);
		return -EPROTO;
	}
	streams = blob[5];
	at = CHUNK_HEADER_BYTES + 8 * (size_t)streams;
	if (blob[4] != CHUNK_VERSION || streams < CHUNK_STREAM_LEAST ||
	    streams > CHUNK_STREAM_COUNT || bytes < at)
		return chunk_reader_bad(reader, "its header");
	memcpy(&sum, blob + CHUNK_SUM_OFFSET, sizeof(sum));
	if (sum != chunk_sum(blob, bytes))
		return chunk_reader_bad(reader, "its checksum does not match");
	reader->events = get32(blob + 8);
	if (reader->events == 0 || reader->events > CHUNK_MAX_EVENTS)
		return chunk_reader_bad(reader, "its number of events");

	uint8_t *to = reader->streams;

	for (unsigned i = 0; i < CHUNK_STREAM_COUNT; i++) {
		const uint8_t *sizes = blob + CHUNK_HEADER_BYTES + 8 * i;
		uint32_t raw = i < streams ? get32(sizes) : 0;
		uint32_t stored = i < streams ? get32(sizes + 4) : 0;

		if (raw > (size_t)stream_most[i] * reader->events || stored > bytes - at ||
		    stored > raw)
			return chunk_reader_bad(reader, "a stream's size");
		if (!(needed >> i & 1))
			raw = 0;
		else if (stored == raw)
			memcpy(to, blob + at, raw);
		else if (ZSTD_decompressDCtx(reader->zstd, to, raw, blob + at, stored) != raw) {
			snprintf(reader->error, sizeof(reader->error),
				 "damaged: stream %s does not decompress", stream_names[i]);
			return -EBADMSG;
		}
		reader->cursor[i] = (struct cursor){ to, to + raw };
		to += stream_room(i);
		at += stored;
	}
	if (at != bytes)
		return chunk_reader_bad(reader, "bytes are left over");
	return 0;
}
