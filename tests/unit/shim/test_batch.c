/* Frames that the shim lays out by hand, read back with protobuf-c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/event.pb-c.h"
#include "proto/wire.h"
#include "shim/record/batch.h"
#include "shim/record/hello.h"
#include "shim/record/lifecycle.h"
#include "shim/misuse/misuse.h"
#include "shim/record/process_end.h"
#include "shim/settings.h"

static uint8_t bytes[512 << 10];

/* Puts the parts one after another and decodes the frame, whose length must be right. */
static Heaptape__Frame *decode(const struct iovec *parts, unsigned count)
{
	Heaptape__Frame *frame;
	uint32_t length;
	size_t used = 0;

	for (unsigned i = 0; i < count; i++) {
		assert_true(used + parts[i].iov_len <= sizeof(bytes));
		memcpy(bytes + used, parts[i].iov_base, parts[i].iov_len);
		used += parts[i].iov_len;
	}
	memcpy(&length, bytes, sizeof(length));
	assert_int_equal(length + WIRE_HEADER_BYTES, used);
	frame = heaptape__frame__unpack(NULL, length, bytes + WIRE_HEADER_BYTES);
	assert_non_null(frame);
	return frame;
}

static Heaptape__Frame *decode_flat(uint8_t *data, size_t size)
{
	return decode(&(struct iovec){ data, size }, 1);
}

static struct ring_buffer *new_buffer(void)
{
	struct ring_buffer *buffer = calloc(1, sizeof(*buffer));

	buffer->thread = 7;
	buffer->tid = 4242;
	buffer->meta_thread = 7;
	buffer->first_seq = 1000000007;
	strcpy(buffer->name, "worker");
	return buffer;
}

static void check_columns(const Heaptape__EventBatch *batch, const struct ring_buffer *buffer)
{
	size_t n = buffer->count;

	assert_int_equal(batch->thread, buffer->thread);
	assert_int_equal(batch->first_seq, buffer->first_seq);
	assert_int_equal(batch->count, n);
	assert_int_equal(batch->kinds.len, n);
	assert_int_equal(batch->classes.len, n);
	assert_int_equal(batch->n_ticks, n);
	assert_int_equal(batch->n_addresses, n);
	assert_int_equal(batch->n_sizes, n);
	assert_int_equal(batch->n_stacks, n);
	assert_int_equal(batch->n_details, buffer->details_used);
	assert_memory_equal(batch->kinds.data, buffer->kinds, n);
	assert_memory_equal(batch->classes.data, buffer->classes, n);
	assert_memory_equal(batch->ticks, buffer->ticks, n * 8);
	assert_memory_equal(batch->addresses, buffer->addresses, n * 8);
	assert_memory_equal(batch->sizes, buffer->sizes, n * 4);
	assert_memory_equal(batch->stacks, buffer->stacks, n * 4);
	assert_memory_equal(batch->details, buffer->details, buffer->details_used * 8);
}

/* Lengths around the places where a varint grows by a byte, up to a full buffer. */
static void batches_of_every_length(void **state)
{
	static const unsigned counts[] = { 1,	2,   15,  16,	31,   32,  127,
					   128, 129, 500, 1024, 4095, 4096 };
	struct ring_buffer *buffer = new_buffer();

	(void)state;
	for (unsigned i = 0; i < RING_EVENTS; i++) {
		buffer->kinds[i] = EVENT_FREE;
		buffer->classes[i] = (uint8_t)(i * 7 + 1);
		buffer->ticks[i] = i * 0x123456789abcull;
		buffer->addresses[i] = ~(uint64_t)i;
		buffer->sizes[i] = i * 3;
		buffer->stacks[i] = i << 16;
		buffer->details[2 * i] = i;
		buffer->details[2 * i + 1] = ~0ull - i;
	}
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct batch batch;
		Heaptape__Frame *frame;

		buffer->count = counts[i];
		buffer->details_used = 2 * counts[i];
		ht_batch_layout(&batch, buffer, 0, buffer->fill);
		frame = decode(batch.parts, batch.part_count);
		assert_int_equal(frame->body_case, HEAPTAPE__FRAME__BODY_BATCH);
		check_columns(frame->batch, buffer);
		heaptape__frame__free_unpacked(frame, NULL);
	}
	free(buffer);
}

static void batch_without_details(void **state)
{
	struct ring_buffer *buffer = new_buffer();
	struct batch batch;
	Heaptape__Frame *frame;

	(void)state;
	buffer->count = 3;
	buffer->kinds[0] = buffer->kinds[1] = buffer->kinds[2] = EVENT_MALLOC;
	ht_batch_layout(&batch, buffer, 0, buffer->fill);
	frame = decode(batch.parts, batch.part_count);
	check_columns(frame->batch, buffer);
	heaptape__frame__free_unpacked(frame, NULL);
	free(buffer);
}

static void thread_frames(void **state)
{
	struct ring_buffer *buffer = new_buffer();
	uint8_t out[THREAD_FRAME_BYTES];
	Heaptape__Frame *frame;

	(void)state;
	buffer->start_ticks = 0x1122334455667788;
	memset(buffer->name, 'n', sizeof(buffer->name)); /* no zero byte at all */
	frame = decode_flat(out, ht_thread_start_frame(out, buffer, 3));
	assert_int_equal(frame->body_case, HEAPTAPE__FRAME__BODY_THREAD_START);
	assert_int_equal(frame->thread_start->thread, 7);
	assert_int_equal(frame->thread_start->tid, 4242);
	assert_int_equal(strlen(frame->thread_start->name), 16);
	assert_int_equal(frame->thread_start->ticks, 0x1122334455667788);
	assert_int_equal(frame->thread_start->buffer, 3);
	heaptape__frame__free_unpacked(frame, NULL);

	buffer->count = 5;
	buffer->ticks[4] = 99;
	frame = decode_flat(out, ht_thread_end_frame(out, buffer));
	assert_int_equal(frame->body_case, HEAPTAPE__FRAME__BODY_THREAD_END);
	assert_int_equal(frame->thread_end->events, 1000000012);
	assert_int_equal(frame->thread_end->ticks, 99);
	heaptape__frame__free_unpacked(frame, NULL);
	free(buffer);
}

static void process_end_frame(void **state)
{
	struct ring_head head = { .lost = { 1, 2, 3, 4, 5, 6 }, .cut_reasons = { 0, 8, 9 } };
	uint8_t out[PROCESS_END_FRAME_BYTES];
	Heaptape__Frame *frame;

	(void)state;
	frame = decode_flat(out, ht_process_end_frame(out, &head, PROCESS_EXITED, -3));
	assert_int_equal(frame->body_case, HEAPTAPE__FRAME__BODY_PROCESS_END);
	assert_int_equal(frame->process_end->how, PROCESS_EXITED);
	assert_int_equal(frame->process_end->exit_code, -3);
	assert_int_equal(frame->process_end->losses->dropped_events, 1);
	assert_int_equal(frame->process_end->losses->foreign_frees, 6);
	assert_int_equal(frame->process_end->losses->n_cut_reasons, 8);
	assert_int_equal(frame->process_end->losses->cut_reasons[2], 9);
	heaptape__frame__free_unpacked(frame, NULL);
}

static void hello_frame(void **state)
{
	char *envp[] = { "HEAPTAPE_RUN=18446744073709551615",
			 "HEAPTAPEX=1",
			 "HEAPTAPE_ON_FULL=drop",
			 "HEAPTAPE_STACKS=0",
			 "OTHER=1",
			 NULL };
	static uint8_t out[HELLO_MAX_BYTES];
	Heaptape__Frame *frame;
	char own[4096];
	ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);

	(void)state;
	own[length] = 0;
	ht_settings_read(envp);
	ht_pid = 4711;
	frame = decode_flat(out, ht_hello_frame(out, true, NULL));
	assert_int_equal(frame->body_case, HEAPTAPE__FRAME__BODY_HELLO);
	assert_int_equal(frame->hello->wire_version, WIRE_VERSION);
	assert_int_equal(frame->hello->pid, getpid());
	assert_int_equal(frame->hello->parent_pid, 4711); /* who forked, not who adopted */
	assert_true(frame->hello->run_token == UINT64_MAX);
	assert_string_equal(frame->hello->executable, own);
	assert_true(frame->hello->n_command >= 1);
	assert_true(frame->hello->n_size_classes > 10);
	assert_int_equal(frame->hello->size_classes[0], 16);
	assert_true(frame->hello->forked);
	assert_true(frame->hello->drop_when_full);
	assert_false(frame->hello->stacks);
	assert_int_equal(frame->hello->n_settings, 3);
	assert_string_equal(frame->hello->settings[1], "HEAPTAPE_ON_FULL=drop");
	assert_true(frame->hello->ticks && frame->hello->monotonic_ns && frame->hello->realtime_ns);
	heaptape__frame__free_unpacked(frame, NULL);
}

static void misuse_frame(void **state)
{
	const struct misuse misuse = { .kind = MISUSE_OVERFLOW,
				       .address = 0x7000,
				       .block = 0x6ff0,
				       .size_bytes = 13,
				       .stack = 4,
				       .allocated_stack = 5,
				       .freed_stack = 6 };
	static uint8_t out[MISUSE_FRAME_BYTES];
	char text[300];
	Heaptape__Frame *frame;

	(void)state;
	memset(text, 'x', sizeof(text));
	frame = decode_flat(out, ht_misuse_frame(out, &misuse, 123456789, 9, text, sizeof(text)));
	assert_int_equal(frame->body_case, HEAPTAPE__FRAME__BODY_MISUSE);
	assert_int_equal(frame->misuse->ticks, 123456789);
	assert_int_equal(frame->misuse->thread, 9);
	assert_int_equal(frame->misuse->kind, MISUSE_OVERFLOW);
	assert_int_equal(frame->misuse->address, 0x7000);
	assert_int_equal(frame->misuse->block, 0x6ff0);
	assert_int_equal(frame->misuse->size_bytes, 13);
	assert_int_equal(frame->misuse->stack, 4);
	assert_int_equal(frame->misuse->allocated_stack, 5);
	assert_int_equal(frame->misuse->freed_stack, 6);
	assert_int_equal(strlen(frame->misuse->text), sizeof(text));
	heaptape__frame__free_unpacked(frame, NULL);
	/* As short as they can be. */
	frame = decode_flat(out, ht_misuse_frame(out, &(struct misuse){ 0 }, 0, 0, "", 0));
	assert_int_equal(frame->misuse->block, 0);
	heaptape__frame__free_unpacked(frame, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batches_of_every_length),
		cmocka_unit_test(batch_without_details),
		cmocka_unit_test(thread_frames),
		cmocka_unit_test(process_end_frame),
		cmocka_unit_test(misuse_frame),
		cmocka_unit_test(hello_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
