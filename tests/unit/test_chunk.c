/* Chunks give back what was put in, refuse what is damaged, and know their bounds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/chunk.h"
#include "proto/chunk_format.h"
#include "proto/event.h"

/* Each test's own. */
static struct chunk_press *press;
static struct chunk_writer *writer;
static struct chunk_reader *reader;
static struct chunk_columns columns;
static struct chunk_bounds bounds;
static const void *blob;
static size_t bytes;

static int begin(void **state)
{
	(void)state;
	press = chunk_press_new();
	writer = chunk_writer_new();
	reader = chunk_reader_new();
	return press && writer && reader ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	chunk_reader_free(reader);
	chunk_writer_free(writer);
	chunk_press_free(press);
	return 0;
}

static uint64_t seed;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* A number of any magnitude: small ones as often as large ones. */
static uint64_t any_number(void)
{
	return next_random() >> (next_random() % 64);
}

struct history {
	struct event_row *rows;
	unsigned count, capacity;
};

static struct event_row *history_add(struct history *history, const struct event_row *row)
{
	if (history->count == history->capacity) {
		history->capacity = history->capacity ? 2 * history->capacity : 256;
		history->rows = realloc(history->rows, history->capacity * sizeof(*row));
		assert_non_null(history->rows);
	}
	history->rows[history->count] = *row;
	return &history->rows[history->count++];
}

/* Writes the history as chunks, reads each back and compares; returns the number of chunks. */
static unsigned round_trip(const struct history *history, size_t *ret_bytes)
{
	unsigned first = 0, at = 0, chunks = 0;

	*ret_bytes = 0;
	while (at < history->count) {
		int code;

		while (at < history->count &&
		       (code = chunk_writer_add(writer, &history->rows[at])) == 0)
			at++;
		if (at < history->count)
			assert_int_equal(code, -ENOSPC);
		assert_int_equal(chunk_writer_events(writer), at - first);
		assert_int_equal(chunk_writer_finish(writer, press, &blob, &bytes, &bounds), 0);
		assert_int_equal(bounds.events, at - first);
		*ret_bytes += bytes;
		chunks++;

		code = chunk_reader_decode(reader, blob, bytes, CHUNK_ALL, &columns);
		if (code)
			print_error("%s\n", chunk_reader_error(reader));
		assert_int_equal(code, 0);
		assert_int_equal(columns.events, at - first);
		for (unsigned i = 0; i < columns.events; i++) {
			struct event_row row;

			chunk_row(&columns, i, &row);
			if (memcmp(&row, &history->rows[first + i], sizeof(row)))
				print_error("event %u of kind %u\n", first + i, row.kind);
			assert_memory_equal(&row, &history->rows[first + i], sizeof(row));
			assert_in_range(row.at_ns, bounds.first_ns, bounds.last_ns);
			assert_in_range(row.thread, bounds.thread_low, bounds.thread_high);
			assert_in_range(row.stack_id, bounds.stack_low, bounds.stack_high);
			assert_true(bounds.kinds >> event_kind_of(row.kind) & 1);
			assert_in_range(row.address, bounds.address_low, bounds.address_high);
			if (event_kind_of(row.kind) == EVENT_REALLOC && row.old_address)
				assert_in_range(row.old_address, bounds.address_low,
						bounds.address_high);
			assert_true(bounds.oldest_ns <= row.at_ns);
			if (event_kind_of(row.kind) == EVENT_FREE)
				assert_true(bounds.oldest_ns <= row.allocated_at_ns);
		}
		first = at;
	}
	return chunks;
}

/* A program's life: blocks come and go, some move, some were there before, threads interleave. */
static void live_a_life(struct history *history, unsigned events, unsigned threads)
{
	static const uint32_t usable[] = { 16, 32, 48, 64, 96, 128, 256, 1024, 4096, 1 << 20 };
	struct event_row *live = calloc(1000, sizeof(*live));
	uint64_t *seq = calloc(threads + 1, sizeof(*seq)), now = 12345;
	unsigned lives = 0;

	assert_non_null(live);
	assert_non_null(seq);
	for (unsigned i = 0; i < events; i++) {
		struct event_row row = { .at_ns = now += next_random() % 300 };

		row.thread = 1 + (uint32_t)(next_random() % 8 ? 0 : next_random() % threads);
		if (next_random() % 500 == 0)
			seq[row.thread] += any_number() >> 8;
		row.seq = seq[row.thread]++;
		if (lives == 1000 || (lives && next_random() % 2)) {
			unsigned victim = (unsigned)(next_random() % lives);
			struct event_row *block = &live[victim];

			row.allocated_at_ns = block->at_ns;
			row.allocated_by = block->thread;
			if (next_random() % 8 == 0) {
				row.kind = EVENT_REALLOC;
				row.old_address = block->address;
				row.old_size_bytes = block->size_bytes;
				row.old_usable_bytes = block->usable_bytes;
				row.old_stack_id = block->stack_id;
				row.address = next_random() % 2
						      ? block->address
						      : 0x10000 + next_random() % 9999 * 16;
				row.usable_bytes = usable[next_random() % 10];
				row.size_bytes = row.usable_bytes - next_random() % 8;
				row.stack_id = 1 + (uint32_t)(next_random() % 900);
				*block = row;
			} else {
				row.kind = EVENT_FREE;
				row.address = block->address;
				row.size_bytes = block->size_bytes;
				row.usable_bytes = block->usable_bytes;
				row.stack_id = block->stack_id;
				if (next_random() % 100 == 0) {
					row.allocated_at_ns = EVENT_TIME_UNKNOWN;
					row.allocated_by = 0;
				}
				/* Recordings begin and end in chunks that say nothing of it. */
				if (i > events / 4 && i < events / 2)
					row.freed_stack_id = next_random() % 9
								     ? row.stack_id % 7
								     : (uint32_t)any_number();
				*block = live[--lives];
			}
		} else {
			row.kind = next_random() % 20 ? EVENT_MALLOC : EVENT_CALLOC;
			row.usable_bytes = usable[next_random() % 10];
			row.size_bytes = row.usable_bytes - next_random() % 16;
			row.address = 0x7f0000000000 + next_random() % 100000 * 16;
			row.stack_id = 1 + (uint32_t)(next_random() % 900);
			live[lives++] = row;
		}
		history_add(history, &row);
	}
	free(seq);
	free(live);
}

static void test_life(void **state)
{
	struct history history = { 0 };
	size_t stored;

	(void)state;
	seed = 1;
	live_a_life(&history, 200000, 5);
	assert_int_equal(round_trip(&history, &stored), 4);
	free(history.rows);
}

/* Every field any value: nothing may depend on the values being sensible. */
static void test_any_values(void **state)
{
	struct history history = { 0 };
	size_t stored;

	(void)state;
	seed = 2;
	for (unsigned i = 0; i < 40000; i++) {
		struct event_row row = {
			.kind = (uint8_t)(1 + next_random() % (EVENT_KIND_COUNT - 1)),
			.at_ns = any_number(),
			.seq = any_number(),
			.address = any_number(),
			.size_bytes = any_number(),
			.usable_bytes = any_number(),
			.stack_id = (uint32_t)any_number(),
			.thread = (uint32_t)any_number() & 0xffff,
		};
		unsigned kind = row.kind;

		if (kind == EVENT_FREE || kind == EVENT_REALLOC || !event_is_block(row.kind)) {
			row.allocated_at_ns = any_number();
			row.allocated_by = (uint32_t)any_number();
		}
		if (kind == EVENT_FREE && i % 40000 > 20000)
			row.freed_stack_id = (uint32_t)any_number();
		if (kind == EVENT_REALLOC || !event_is_block(row.kind)) {
			row.old_address = any_number() | 1;
			row.old_size_bytes = any_number();
			row.old_usable_bytes = any_number();
			row.old_stack_id = (uint32_t)any_number();
		}
		if (next_random() % 4 == 0)
			row.kind |= EVENT_BY_ALLOCATOR;
		history_add(&history, &row);
	}
	round_trip(&history, &stored);
	free(history.rows);
}

static void test_extremes(void **state)
{
	static const uint64_t values[] = { 0,
					   1,
					   15,
					   16,
					   INT64_MAX,
					   (uint64_t)INT64_MAX + 1,
					   UINT64_MAX,
					   UINT64_MAX - 15,
					   0x7fffffffffff0 };
	struct history history = { 0 };
	size_t stored;

	(void)state;
	for (unsigned i = 0; i < 9; i++)
		for (unsigned j = 0; j < 9; j++) {
			struct event_row row = { .kind = EVENT_MALLOC,
						 .at_ns = values[i],
						 .address = values[j],
						 .size_bytes = values[8 - j],
						 .usable_bytes = values[i],
						 .stack_id = (uint32_t)values[j],
						 .seq = values[8 - i] };

			history_add(&history, &row);
			row.kind = EVENT_FREE;
			row.allocated_at_ns = values[j];
			row.allocated_by = (uint32_t)values[i];
			row.freed_stack_id = (uint32_t)values[8 - j];
			history_add(&history, &row);
		}
	round_trip(&history, &stored);
	free(history.rows);
}

/* What programs do most must stay cheap: the same site asks for a block and frees it. */
static void test_small(void **state)
{
	struct history history = { 0 };
	size_t stored;

	(void)state;
	for (unsigned i = 0; i < 60000; i += 2) {
		struct event_row row = { .kind = EVENT_MALLOC,
					 .at_ns = 1000 + i * 20,
					 .seq = i,
					 .address = 0x4000,
					 .size_bytes = 24,
					 .usable_bytes = 32,
					 .stack_id = 7,
					 .thread = 1 };

		history_add(&history, &row);
		row.kind = EVENT_FREE;
		row.allocated_at_ns = row.at_ns;
		row.allocated_by = 1;
		row.at_ns += 9;
		row.seq++;
		history_add(&history, &row);
	}
	assert_int_equal(round_trip(&history, &stored), 1);
	assert_true(stored < 6000);
	free(history.rows);
}

static void test_refused(void **state)
{
	(void)state;
	assert_int_equal(chunk_writer_finish(writer, press, &blob, &bytes, &bounds), -ENODATA);
	assert_int_equal(chunk_writer_add(writer, &(struct event_row){ .kind = 0 }), -EINVAL);
	assert_int_equal(chunk_writer_add(writer, &(struct event_row){ .kind = EVENT_KIND_COUNT }),
			 -EINVAL);
	assert_int_equal(chunk_writer_add(writer, &(struct event_row){ .kind = 0x41 }), -EINVAL);
	assert_int_equal(chunk_writer_events(writer), 0);
}

/* Each wanted set of columns shows the same as all of them. */
static void test_wanted(void **state)
{
	struct history history = { 0 };

	(void)state;
	seed = 3;
	live_a_life(&history, 3000, 3);
	for (unsigned i = 0; i < history.count; i++)
		assert_int_equal(chunk_writer_add(writer, &history.rows[i]), 0);
	assert_int_equal(chunk_writer_finish(writer, press, &blob, &bytes, &bounds), 0);
	for (unsigned wanted = 0; wanted <= CHUNK_ALL; wanted++) {
		assert_int_equal(chunk_reader_decode(reader, blob, bytes, wanted, &columns), 0);
		assert_int_equal(columns.events, history.count);
		for (unsigned i = 0; i < history.count; i++) {
			const struct event_row *row = &history.rows[i];

			if (wanted & CHUNK_AT_NS)
				assert_int_equal(columns.at_ns[i], row->at_ns);
			if (wanted & CHUNK_SEQ)
				assert_int_equal(columns.seq[i], row->seq);
			if (wanted & CHUNK_ADDRESS)
				assert_int_equal(columns.address[i], row->address);
			if (wanted & CHUNK_SIZE) {
				assert_int_equal(columns.size_bytes[i], row->size_bytes);
				assert_int_equal(columns.usable_bytes[i], row->usable_bytes);
			}
			if (wanted & CHUNK_STACK)
				assert_int_equal(columns.stack_id[i], row->stack_id);
			if (wanted & CHUNK_THREAD)
				assert_int_equal(columns.thread[i], row->thread);
			if (wanted & CHUNK_KIND)
				assert_int_equal(columns.kind[i], row->kind);
			if (wanted & CHUNK_ALLOCATED) {
				assert_int_equal(columns.allocated_at_ns[i], row->allocated_at_ns);
				assert_int_equal(columns.allocated_by[i], row->allocated_by);
			}
			if (wanted & CHUNK_OLD) {
				assert_int_equal(columns.old_address[i], row->old_address);
				assert_int_equal(columns.old_size_bytes[i], row->old_size_bytes);
				assert_int_equal(columns.old_usable_bytes[i],
						 row->old_usable_bytes);
				assert_int_equal(columns.old_stack_id[i], row->old_stack_id);
			}
			if (wanted & CHUNK_FREED)
				assert_int_equal(columns.freed_stack_id[i], row->freed_stack_id);
		}
	}
	free(history.rows);
}

/* A chunk from before frees could say where they are has one stream less. */
static void test_older(void **state)
{
	struct history history = { 0 };
	const size_t cut = CHUNK_HEADER_BYTES + 8 * (CHUNK_STREAM_COUNT - 1);
	uint8_t *older;

	(void)state;
	seed = 5;
	live_a_life(&history, 500, 2);
	for (unsigned i = 0; i < history.count; i++) {
		history.rows[i].freed_stack_id = 0;
		assert_int_equal(chunk_writer_add(writer, &history.rows[i]), 0);
	}
	assert_int_equal(chunk_writer_finish(writer, press, &blob, &bytes, &bounds), 0);
	older = malloc(bytes);
	assert_non_null(older);
	memcpy(older, blob, cut);
	memcpy(older + cut, (const uint8_t *)blob + cut + 8, bytes - cut - 8);
	bytes -= 8;
	older[5]--;
	chunk_seal(older, bytes);
	assert_int_equal(chunk_reader_decode(reader, older, bytes, CHUNK_ALL, &columns), 0);
	for (unsigned i = 0; i < columns.events; i++) {
		struct event_row row;

		chunk_row(&columns, i, &row);
		assert_memory_equal(&row, &history.rows[i], sizeof(row));
	}
	older[5]--; /* less than there ever were */
	chunk_seal(older, bytes);
	assert_int_equal(chunk_reader_decode(reader, older, bytes, CHUNK_ALL, &columns), -EBADMSG);
	free(older);
	free(history.rows);
}

/* Any single damaged byte is noticed; so is any truncation. */
static void test_damage(void **state)
{
	struct history history = { 0 };
	uint8_t *copy;

	(void)state;
	seed = 4;
	live_a_life(&history, 2000, 3);
	for (unsigned i = 0; i < history.count; i++)
		assert_int_equal(chunk_writer_add(writer, &history.rows[i]), 0);
	assert_int_equal(chunk_writer_finish(writer, press, &blob, &bytes, &bounds), 0);
	copy = malloc(bytes + 1);
	assert_non_null(copy);
	memcpy(copy, blob, bytes);
	for (size_t i = 0; i < bytes; i++) {
		copy[i] ^= 0x41;
		assert_int_not_equal(chunk_reader_decode(reader, copy, bytes, CHUNK_ALL, &columns),
				     0);
		assert_true(*chunk_reader_error(reader));
		copy[i] ^= 0x41;
	}
	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(chunk_reader_decode(reader, copy, i, CHUNK_ALL, &columns),
				 -EBADMSG);
	copy[bytes] = 0;
	assert_int_equal(chunk_reader_decode(reader, copy, bytes + 1, CHUNK_ALL, &columns),
			 -EBADMSG);
	copy[4] = CHUNK_VERSION + 1;
	assert_int_equal(chunk_reader_decode(reader, copy, bytes, CHUNK_ALL, &columns), -EPROTO);
	assert_non_null(strstr(chunk_reader_error(reader), "newer"));
	copy[4] = CHUNK_VERSION;
	/* damage whose checksum is right: refused or read, but never followed out of bounds */
	for (unsigned i = 0; i < 20000; i++) {
		size_t at = CHUNK_HEADER_BYTES + next_random() % (bytes - CHUNK_HEADER_BYTES);
		uint8_t was = copy[at];

		copy[at] = (uint8_t)next_random();
		chunk_seal(copy, bytes);
		chunk_reader_decode(reader, copy, bytes, CHUNK_ALL, &columns);
		copy[at] = was;
	}
	chunk_seal(copy, bytes);
	assert_int_equal(chunk_reader_decode(reader, copy, bytes, CHUNK_ALL, &columns), 0);
	/* and a byte too many */
	copy[bytes] = 0;
	chunk_seal(copy, bytes + 1);
	assert_int_equal(chunk_reader_decode(reader, copy, bytes + 1, CHUNK_ALL, &columns),
			 -EBADMSG);
	free(copy);
	free(history.rows);
}

static void test_sorted(void **state)
{
	(void)state;
	for (unsigned late = 0; late < 2; late++) {
		for (unsigned i = 0; i < 10; i++)
			assert_int_equal(
				chunk_writer_add(
					writer,
					&(struct event_row){ .kind = EVENT_MALLOC,
							     .at_ns = late && i == 5 ? 7 : 10 + i,
							     .address = 16 }),
				0);
		assert_int_equal(chunk_writer_finish(writer, press, &blob, &bytes, &bounds), 0);
		assert_int_equal(bounds.first_ns, late ? 7 : 10);
		assert_int_equal(bounds.last_ns, 19);
		assert_int_equal(chunk_reader_decode(reader, blob, bytes, CHUNK_AT_NS, &columns),
				 0);
		assert_int_equal(columns.sorted, !late);
	}
}

#define CHUNK_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHUNK_TEST(test_life),	CHUNK_TEST(test_any_values), CHUNK_TEST(test_extremes),
		CHUNK_TEST(test_small), CHUNK_TEST(test_refused),    CHUNK_TEST(test_wanted),
		CHUNK_TEST(test_older), CHUNK_TEST(test_damage),     CHUNK_TEST(test_sorted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
