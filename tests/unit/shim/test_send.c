/*
 * A thread's buffer on its way to the daemon while signal handlers go on recording: every event arrives
 * once, and where the sequence numbers say.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/event.pb-c.h"
#include "proto/wire.h"
#include "shim/record/batch.h"
#include "tests/unit/shim/recording.h"

/* Far less than the frame of a full buffer. */
#define SOCKET_BYTES (8 << 10)
#define EVENTS_MAX 65536

static int peer;
static pthread_t self;
static struct recorder *recorder;

/* What came through the socket. */
static uint8_t bytes[8 << 20];
static size_t byte_count;

/* Each event has an address of its own. */
static uint32_t recorded;

static int set_up(void **state)
{
	const int room = SOCKET_BYTES;

	(void)state;
	self = pthread_self();
	if (recording_begin(true, &peer) ||
	    setsockopt(ht_link.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)))
		return -1;
	recorder = ht_thread_begin();
	return recorder ? 0 : -1;
}

static void record(void)
{
	const uint64_t details[1] = { 4096 };

	ht_record_pages_at(EVENT_MUNMAP, recorded++, details, 0);
}

/* In the part of the buffer that is kept for such events. */
static void record_in_reserve(void)
{
	const uint64_t details[1] = { 4096 };

	ht_watch_pages(EVENT_MUNMAP | EVENT_BY_ALLOCATOR, recorded++, details);
}

static void fill_buffer(void)
{
	while (recorder->buffer->count < RECORD_EVENT_LIMIT)
		record();
}

static void receive(void)
{
	ssize_t got;

	while ((got = recv(peer, bytes + byte_count, sizeof(bytes) - byte_count, 0)) > 0)
		byte_count += (size_t)got;
}

static int try_once(void)
{
	struct link_hold hold;
	int error;

	ht_link_lock(&hold);
	error = ht_batch_try(recorder);
	ht_link_unlock(&hold);
	return error;
}

/* Everything recorded so far is sent and received: each event once, the batches without a gap. */
static void check_all(void)
{
	static uint8_t seen[EVENTS_MAX];
	uint64_t next_seq = 0;
	uint32_t length;

	while (try_once() == -EAGAIN)
		receive();
	receive();
	assert_int_equal(recorder->buffer->count, 0);
	memset(seen, 0, sizeof(seen));
	for (size_t at = 0; at < byte_count; at += WIRE_HEADER_BYTES + length) {
		Heaptape__Frame *frame;

		memcpy(&length, bytes + at, sizeof(length));
		assert_true(at + WIRE_HEADER_BYTES + length <= byte_count);
		frame = heaptape__frame__unpack(NULL, length, bytes + at + WIRE_HEADER_BYTES);
		assert_non_null(frame);
		if (frame->body_case == HEAPTAPE__FRAME__BODY_BATCH) {
			const Heaptape__EventBatch *batch = frame->batch;

			assert_int_equal(batch->first_seq, next_seq);
			assert_int_equal(batch->n_addresses, batch->count);
			assert_int_equal(batch->n_details, batch->count);
			for (uint32_t i = 0; i < batch->count; i++)
				assert_int_equal(seen[batch->addresses[i]]++, 0);
			next_seq += batch->count;
		}
		heaptape__frame__free_unpacked(frame, NULL);
	}
	assert_int_equal(next_seq, recorded);
	assert_int_equal(recorder->buffer->first_seq, recorded);
	assert_int_equal(ht_ring.head->lost[LOSS_UNRECORDED - 1], 0);
	assert_int_equal(ht_ring.head->lost[LOSS_DROPPED - 1], 0);
}

static void reserve_is_used_while_a_frame_is_partly_sent(void **state)
{
	(void)state;
	fill_buffer();
	assert_int_equal(try_once(), -EAGAIN);
	assert_int_not_equal(recorder->frame, 0);
	for (int i = 0; i < 3; i++)
		record_in_reserve();
	check_all();
}

/* As at a thread's end: the buffer is not full. */
static void buffer_is_used_while_a_frame_is_partly_sent(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++)
		record();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(try_once(), -EAGAIN);
		assert_int_not_equal(recorder->frame, 0);
		record();
		record_in_reserve();
	}
	check_all();
}

/* -- a handler that comes while the socket is full -- */

static void (*in_handler)(void);
static atomic_bool handled, over;

static void on_signal(int number)
{
	(void)number;
	in_handler();
	handled = true;
}

/* Reads nothing until the handler has begun. */
static void *read_late(void *unused)
{
	while (!__atomic_load_n(&recorder->frame, __ATOMIC_RELAXED))
		usleep(100);
	pthread_kill(self, SIGUSR1);
	while (!handled)
		usleep(100);
	while (!over) {
		receive();
		usleep(100);
	}
	return unused;
}

static void interrupt_with(void (*handler)(void))
{
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t reader;

	in_handler = handler;
	handled = over = false;
	sigaction(SIGUSR1, &action, NULL);
	fill_buffer();
	assert_int_equal(pthread_create(&reader, NULL, read_late, NULL), 0);
	record();
	over = true;
	pthread_join(reader, NULL);
	assert_true(handled);
	check_all();
}

static void only_pages(void)
{
	for (int i = 0; i < 5; i++)
		record_in_reserve();
}

static void handler_records_pages(void **state)
{
	(void)state;
	interrupt_with(only_pages);
}

/* It has to wait for the socket itself, and fills the buffer once more. */
static void more_than_a_buffer(void)
{
	record_in_reserve();
	handled = true;
	for (int i = 0; i < RING_EVENTS; i++)
		record();
	fill_buffer();
	record_in_reserve();
}

static void handler_records_more_than_a_buffer(void **state)
{
	(void)state;
	interrupt_with(more_than_a_buffer);
}

/* What happens while blocks that were live are listed. */
static void hide(void)
{
	recorder->hidden = recorder->buffer;
	recorder->buffer = NULL;
}

static void handler_hides_the_buffer(void **state)
{
	(void)state;
	interrupt_with(hide);
}

/* At the end of a process without shared memory another thread sends the events. */
static void events_are_sent_by_another_thread(void **state)
{
	(void)state;
	ht_batch_send_kept(recorder);
	record();
	record();
	ht_batch_send_kept(recorder);
	assert_int_equal(recorder->buffer->count, 2);
	receive();
	record();
	check_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reserve_is_used_while_a_frame_is_partly_sent),
		cmocka_unit_test(buffer_is_used_while_a_frame_is_partly_sent),
		cmocka_unit_test(handler_records_pages),
		cmocka_unit_test(handler_records_more_than_a_buffer),
		cmocka_unit_test(handler_hides_the_buffer),
		cmocka_unit_test(events_are_sent_by_another_thread),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
