/* A writer's life, and making the blob of what was added; the format is described in chunk.h. */
#include "proto/chunk.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <zstd.h>

#include "proto/chunk_writer.h"

#define PRESS_LEVEL 1
#define SLOTS_FIRST 1024u
#define RAW_MOST 64 /* shorter streams are not worth compressing */

struct chunk_press {
	ZSTD_CCtx *zstd;
	uint8_t *out;
	size_t capacity;
};

static const uint8_t stream_most[CHUNK_STREAM_COUNT] = {
#define ROW(NAME, most) most,
	CHUNK_STREAMS(ROW)
#undef ROW
};

struct chunk_press *chunk_press_new(void)
{
	struct chunk_press *press = calloc(1, sizeof(*press));

	if (!press)
		return NULL;
	press->zstd = ZSTD_createCCtx();
	if (!press->zstd) {
		free(press);
		return NULL;
	}
	ZSTD_CCtx_setParameter(press->zstd, ZSTD_c_compressionLevel, PRESS_LEVEL);
	return press;
}

void chunk_press_free(struct chunk_press *press)
{
	if (!press)
		return;
	ZSTD_freeCCtx(press->zstd);
	free(press->out);
	free(press);
}

static int slots_init(struct slots *slots)
{
	slots->slot = calloc(SLOTS_FIRST, sizeof(*slots->slot));
	slots->mask = SLOTS_FIRST - 1;
	return slots->slot ? 0 : -ENOMEM;
}

static void slots_clear(struct slots *slots)
{
	memset(slots->slot, 0, ((size_t)slots->mask + 1) * sizeof(*slots->slot));
}

/* One reservation for all streams: pages are touched as events come, and none is ever copied. */
static int streams_map(struct chunk_writer *writer)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < CHUNK_STREAM_COUNT; i++)
		bytes += (size_t)stream_most[i] * CHUNK_MAX_EVENTS + 64;
	bytes += (sizeof(struct block) + 2 * sizeof(struct site)) * (CHUNK_MAX_EVENTS + 2);
	writer->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (writer->memory == MAP_FAILED) {
		writer->memory = NULL;
		return -ENOMEM;
	}
	writer->memory_bytes = bytes;
	writer->blocks = (struct block *)writer->memory;
	writer->sites = (struct site *)(writer->blocks + CHUNK_MAX_EVENTS + 2);
	uint8_t *at = (uint8_t *)(writer->sites + 2 * (CHUNK_MAX_EVENTS + 2));

	for (unsigned i = 0; i < CHUNK_STREAM_COUNT; i++) {
		writer->start[i] = at;
		at += (size_t)stream_most[i] * CHUNK_MAX_EVENTS + 8;
	}
	return 0;
}

void chunk_writer_clear(struct chunk_writer *writer)
{
	memcpy(writer->at, writer->start, sizeof(writer->at));
	writer->bounds = (struct chunk_bounds){
		.first_ns = UINT64_MAX,
		.oldest_ns = UINT64_MAX,
		.address_low = UINT64_MAX,
		.thread_low = UINT32_MAX,
		.stack_low = UINT32_MAX,
	};
	writer->last_ns = 0;
	writer->last_page = 0;
	writer->last_allocated_ns = 0;
	writer->last_thread = 0;
	writer->last_by = 0;
	writer->last_site[0] = writer->last_site[1] = 0;
	writer->block_count = 0;
	writer->site_count = 1;
	writer->class_count = 0;
	writer->unsorted = false;
	writer->freed = false;
	memset(&writer->sites[0], 0, sizeof(writer->sites[0]));
	memset(&writer->classes[CLASS_ESCAPE], 0, sizeof(writer->classes[0]));
	memset(writer->class_slot, 0, sizeof(writer->class_slot));
	slots_clear(&writer->block_slots);
	slots_clear(&writer->site_slots);
	if (writer->thread_high < writer->thread_capacity &&
	    writer->thread_low <= writer->thread_high)
		memset(writer->next_seq + writer->thread_low, 0,
		       sizeof(*writer->next_seq) * (writer->thread_high - writer->thread_low + 1));
	writer->thread_low = UINT32_MAX;
	writer->thread_high = 0;
}

struct chunk_writer *chunk_writer_new(void)
{
	struct chunk_writer *writer = calloc(1, sizeof(*writer));

	if (!writer)
		return NULL;
	writer->thread_capacity = 16;
	writer->next_seq = calloc(writer->thread_capacity, sizeof(*writer->next_seq));
	if (!writer->next_seq || slots_init(&writer->block_slots) ||
	    slots_init(&writer->site_slots) || streams_map(writer)) {
		chunk_writer_free(writer);
		return NULL;
	}
	chunk_writer_clear(writer);
	return writer;
}

void chunk_writer_free(struct chunk_writer *writer)
{
	if (!writer)
		return;
	if (writer->memory)
		munmap(writer->memory, writer->memory_bytes);
	free(writer->next_seq);
	free(writer->block_slots.slot);
	free(writer->site_slots.slot);
	free(writer);
}

unsigned chunk_writer_events(const struct chunk_writer *writer)
{
	return writer->bounds.events;
}

static void put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, 4);
}

int chunk_writer_finish(struct chunk_writer *writer, struct chunk_press *press,
			const void **ret_blob, size_t *ret_bytes, struct chunk_bounds *ret_bounds)
{
	size_t most = CHUNK_DATA_OFFSET, at = CHUNK_DATA_OFFSET, raw_bytes = 0;

	if (!writer->bounds.events)
		return -ENODATA;
	for (unsigned i = 0; i < CHUNK_STREAM_COUNT; i++)
		most += ZSTD_compressBound((size_t)(writer->at[i] - writer->start[i]));
	if (most > press->capacity) {
		uint8_t *out = realloc(press->out, most + most / 4);

		if (!out)
			return -ENOMEM;
		press->out = out;
		press->capacity = most + most / 4;
	}
	for (unsigned i = 0; i < CHUNK_STREAM_COUNT; i++) {
		size_t bytes = (size_t)(writer->at[i] - writer->start[i]), stored = bytes;

		if (bytes > RAW_MOST) {
			stored = ZSTD_compress2(press->zstd, press->out + at, press->capacity - at,
						writer->start[i], bytes);
			if (ZSTD_isError(stored))
				return -ENOMEM;
		}
		if (stored >= bytes) {
			stored = bytes;
			memcpy(press->out + at, writer->start[i], bytes);
		}
		put32(press->out + CHUNK_HEADER_BYTES + 8 * i, (uint32_t)bytes);
		put32(press->out + CHUNK_HEADER_BYTES + 8 * i + 4, (uint32_t)stored);
		at += stored;
		raw_bytes += bytes;
	}
	memset(press->out, 0, CHUNK_HEADER_BYTES);
	put32(press->out, CHUNK_MAGIC);
	press->out[4] = CHUNK_VERSION;
	press->out[5] = CHUNK_STREAM_COUNT;
	press->out[6] = writer->unsorted ? CHUNK_FLAG_UNSORTED : 0;
	put32(press->out + 8, writer->bounds.events);

	chunk_seal(press->out, at);
	writer->bounds.raw_bytes = (uint32_t)raw_bytes;
	if (writer->bounds.oldest_ns > writer->bounds.first_ns)
		writer->bounds.oldest_ns = writer->bounds.first_ns;
	if (writer->bounds.address_low > writer->bounds.address_high)
		writer->bounds.address_low = 0;
	*ret_blob = press->out;
	*ret_bytes = at;
	*ret_bounds = writer->bounds;
	chunk_writer_clear(writer);
	return 0;
}
