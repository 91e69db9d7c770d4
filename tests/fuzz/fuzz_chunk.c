/*
 * The chunk reader on hostile bytes. The input's first byte says how it is given:
 *   0  as a blob
 *   1  as a blob whose checksum is set right, so that damage gets past it
 *   2  as the streams of a chunk, uncompressed: the second and third byte are the number of
 *      events, then for each stream its length (two bytes) and its bytes; what is missing is empty
 * What decodes must decode to the same rows when it is written and read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/chunk.h"
#include "proto/chunk_format.h"
#include "proto/event.h"

static struct chunk_reader *reader, *again;
static struct chunk_writer *writer;
static struct chunk_press *press;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, 4);
}

static uint8_t *streams_to_blob(const uint8_t *data, size_t bytes, size_t *ret_bytes)
{
	uint8_t *blob = calloc(1, CHUNK_DATA_OFFSET + bytes + 2), *to = blob + CHUNK_DATA_OFFSET;
	const uint8_t *end = data + bytes;
	uint32_t events = 0;

	if (!blob)
		abort();
	if (end - data >= 2) {
		events = 1u + (uint32_t)(data[0] | data[1] << 8);
		data += 2;
	}
	put32(blob, CHUNK_MAGIC);
	blob[4] = CHUNK_VERSION;
	blob[5] = CHUNK_STREAM_COUNT;
	put32(blob + 8, events);
	for (unsigned i = 0; i < CHUNK_STREAM_COUNT && end - data >= 2; i++) {
		uint32_t length = (uint32_t)(data[0] | data[1] << 8);

		data += 2;
		if (length > end - data)
			length = (uint32_t)(end - data);
		put32(blob + CHUNK_HEADER_BYTES + 8 * i, length);
		put32(blob + CHUNK_HEADER_BYTES + 8 * i + 4, length);
		memcpy(to, data, length);
		to += length;
		data += length;
	}
	*ret_bytes = (size_t)(to - blob);
	chunk_seal(blob, *ret_bytes);
	return blob;
}

static void check_again(const struct chunk_columns *columns)
{
	struct chunk_columns copy;
	struct chunk_bounds bounds;
	struct event_row row, other;
	const void *blob;
	size_t bytes;
	unsigned at = 0;

	while (at < columns->events) {
		unsigned first = at;

		for (; at < columns->events; at++) {
			chunk_row(columns, at, &row);
			if (chunk_writer_add(writer, &row))
				break;
		}
		if (at == first || chunk_writer_finish(writer, press, &blob, &bytes, &bounds) ||
		    chunk_reader_decode(again, blob, bytes, CHUNK_ALL, &copy) ||
		    copy.events != at - first)
			abort();
		for (unsigned i = 0; i < copy.events; i++) {
			chunk_row(columns, first + i, &row);
			chunk_row(&copy, i, &other);
			/* a realloc without an old block has no use for what it says of it */
			if (event_kind_of(row.kind) == EVENT_REALLOC && !row.old_address)
				continue;
			if (memcmp(&row, &other, sizeof(row)))
				abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct chunk_columns columns;
	uint8_t *blob;

	if (!reader) {
		reader = chunk_reader_new();
		again = chunk_reader_new();
		writer = chunk_writer_new();
		press = chunk_press_new();
	}
	if (!bytes)
		return 0;
	if (data[0] % 3 == 2) {
		blob = streams_to_blob(data + 1, bytes - 1, &bytes);
	} else {
		blob = malloc(bytes);
		if (!blob)
			abort();
		memcpy(blob, data + 1, bytes - 1);
		bytes--;
		if (data[0] % 3 == 1 && bytes >= CHUNK_HEADER_BYTES)
			chunk_seal(blob, bytes);
	}
	if (chunk_reader_decode(reader, blob, bytes, CHUNK_ALL, &columns) == 0)
		check_again(&columns);
	chunk_reader_decode(reader, blob, bytes, CHUNK_SIZE, &columns);
	chunk_reader_decode(reader, blob, bytes, CHUNK_ADDRESS | CHUNK_AT_NS, &columns);
	free(blob);
	return 0;
}
