/*
 * Threads come, and go in silence, while the socket has no room: what the daemon has to hear of them it
 * hears, or nobody takes their place.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
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
#include "shim/api/malloc.h"
#include "shim/record/batch.h"
#include "tests/unit/shim/recording.h"

/* Room for this thread and one more. */
#define SLOTS 2

static int peer;
static atomic_bool over, stay;

/* What came through the socket. */
static uint8_t bytes[8 << 20];
static size_t byte_count;

static int set_up(void **state)
{
	(void)state;
	if (recording_begin(true, &peer))
		return -1;
	ht_ring.head->buffer_count = SLOTS;
	ht_api_free(ht_api_malloc(1));
	return 0;
}

static void receive(void)
{
	ssize_t got;

	while ((got = recv(peer, bytes + byte_count, sizeof(bytes) - byte_count, 0)) > 0)
		byte_count += (size_t)got;
}

/* Frames that nobody knows, until the socket takes no more. */
static void fill_socket(void)
{
	static uint8_t junk[4 + 60000];
	const uint32_t length = sizeof(junk) - 4;
	struct link_hold hold;
	int error;

	memcpy(junk, &length, sizeof(length));
	ht_link_lock(&hold);
	do {
		struct iovec iov = { junk, sizeof(junk) };

		error = ht_link_send(&iov, 1);
	} while (!error);
	ht_link_unlock(&hold);
	assert_int_equal(error, -EAGAIN);
}

/* Reads all that comes until a thread has ended. */
static void join(pthread_t thread)
{
	while (pthread_tryjoin_np(thread, NULL))
		receive();
	receive();
}

/* Where among the frames a thread's start or end is; 0: nowhere. */
static unsigned place_of(unsigned body_case, uint32_t thread)
{
	unsigned place = 0, found = 0;
	uint32_t length;

	for (size_t at = 0; at + WIRE_HEADER_BYTES <= byte_count;
	     at += WIRE_HEADER_BYTES + length) {
		Heaptape__Frame *frame;

		memcpy(&length, bytes + at, sizeof(length));
		if (at + WIRE_HEADER_BYTES + length > byte_count)
			break; /* the rest of it is with the sender */
		frame = heaptape__frame__unpack(NULL, length, bytes + at + WIRE_HEADER_BYTES);
		place++;
		if (!frame)
			continue;
		if (frame->body_case == body_case &&
		    (body_case == HEAPTAPE__FRAME__BODY_THREAD_END
			     ? frame->thread_end->thread
			     : frame->thread_start->thread) == thread)
			found = place;
		heaptape__frame__free_unpacked(frame, NULL);
	}
	return found;
}

/* Allocates, has nothing left to send, and goes without a word: as one that ends by a system call of
 * its own its destructor finds nothing. */
static void *silent(void *ret_number)
{
	static struct recorder none;

	ht_api_free(ht_api_malloc(1));
	ht_batch_send(ht_recorder);
	*(uint32_t *)ret_number = ht_recorder->buffer->thread;
	ht_recorder = &none;
	return NULL;
}

static void *late(void *ret_number)
{
	ht_api_free(ht_api_malloc(1));
	*(uint32_t *)ret_number = ht_recorder->buffer ? ht_recorder->buffer->thread : 0;
	over = true;
	while (stay)
		usleep(1000);
	return NULL;
}

static uint64_t lost(enum ring_loss loss)
{
	return __atomic_load_n(&ht_ring.head->lost[loss - 1], __ATOMIC_RELAXED);
}

static void a_place_is_taken_over(void **state)
{
	uint32_t gone, next;
	pthread_t thread;
	uint64_t waited;

	(void)state;
	ht_link.drop_when_full = false;
	pthread_create(&thread, NULL, silent, &gone);
	join(thread);
	fill_socket();
	waited = lost(LOSS_WAIT_NS);
	over = false;
	pthread_create(&thread, NULL, late, &next);
	while (!over && lost(LOSS_WAIT_NS) == waited)
		usleep(1000);
	join(thread);
	assert_true(gone && next);
	assert_true(place_of(HEAPTAPE__FRAME__BODY_THREAD_START, gone));
	assert_true(place_of(HEAPTAPE__FRAME__BODY_THREAD_END, gone));
	assert_true(place_of(HEAPTAPE__FRAME__BODY_THREAD_END, gone) <
		    place_of(HEAPTAPE__FRAME__BODY_THREAD_START, next));
	assert_true(place_of(HEAPTAPE__FRAME__BODY_THREAD_END, next));
}

static void a_place_is_kept(void **state)
{
	pthread_t thread, refused;
	uint32_t gone, next;
	uint64_t unrecorded;

	(void)state;
	ht_link.drop_when_full = true;
	pthread_create(&thread, NULL, silent, &gone);
	join(thread);
	fill_socket();
	unrecorded = lost(LOSS_UNRECORDED);
	stay = true;
	over = false;
	pthread_create(&refused, NULL, late, &next);
	while (!over)
		usleep(1000);
	assert_int_equal(next, 0);
	assert_true(lost(LOSS_UNRECORDED) > unrecorded);
	receive();
	assert_false(place_of(HEAPTAPE__FRAME__BODY_THREAD_END, gone));
	over = false;
	pthread_create(&thread, NULL, late, &next);
	while (!over)
		receive();
	stay = false;
	join(thread);
	join(refused);
	assert_true(next);
	assert_true(place_of(HEAPTAPE__FRAME__BODY_THREAD_END, gone));
	assert_true(place_of(HEAPTAPE__FRAME__BODY_THREAD_END, next));
}

/* Which events will never come is in the buffer's head. */
static void dropped_events_are_named(void **state)
{
	struct ring_buffer *buffer = ht_recorder->buffer;
	uint64_t first;

	(void)state;
	ht_link.drop_when_full = true;
	ht_batch_send(ht_recorder);
	fill_socket();
	first = buffer->first_seq;
	ht_api_free(ht_api_malloc(1));
	ht_batch_send(ht_recorder);
	assert_int_equal(buffer->dropped_from, first);
	assert_int_equal(buffer->dropped_to, first + 2);
	ht_api_free(ht_api_malloc(1));
	ht_batch_send(ht_recorder);
	assert_int_equal(buffer->dropped_from, first);
	assert_int_equal(buffer->dropped_to, first + 4);
	receive();
	ht_api_free(ht_api_malloc(1));
	ht_batch_send(ht_recorder);
	assert_int_equal(buffer->dropped_to, first + 4);
	fill_socket();
	ht_api_free(ht_api_malloc(1));
	ht_batch_send(ht_recorder);
	assert_int_equal(buffer->dropped_from, first + 6);
	assert_int_equal(buffer->dropped_to, first + 8);
	assert_int_equal(buffer->first_seq, first + 8);
	receive();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_place_is_taken_over),
		cmocka_unit_test(a_place_is_kept),
		cmocka_unit_test(dropped_events_are_named),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
