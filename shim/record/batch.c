#include <string.h>

#include "proto/wire.h"
#include "shim/link.h"
#include "shim/record/batch.h"
#include "shim/ring.h"
#include "shim/stack/stack_table.h"
#include "shim/sys.h"

/* Field numbers of proto/event.proto. */
enum { FRAME_THREAD_START = 2, FRAME_THREAD_END = 3, FRAME_BATCH = 4 };
enum { THREAD_NUMBER = 1, THREAD_TID = 2, THREAD_NAME = 3, THREAD_TICKS = 4, THREAD_BUFFER = 5 };
enum { THREAD_END_TICKS = 2, THREAD_END_EVENTS = 3 };
enum { BATCH_THREAD = 1, BATCH_FIRST_SEQ = 2, BATCH_COUNT = 3, BATCH_FIRST_COLUMN = 4 };

/* Bytes of BATCH_THREAD, BATCH_FIRST_SEQ and BATCH_COUNT with their tags. */
#define BATCH_FIXED_BYTES (1 + 4 + 1 + 8 + 1 + 4)

void ht_batch_layout(struct batch *batch, const struct ring_buffer *buffer, uint64_t from,
		     uint64_t to)
{
	uint32_t at = fill_count(from), word = fill_details(from);
	size_t count = fill_count(to) - at, words = fill_details(to) - word;
	const struct {
		const void *data;
		size_t bytes;
	} columns[BATCH_COLUMNS] = {
		{ buffer->kinds + at, count },
		{ buffer->classes + at, count },
		{ buffer->ticks + at, count * sizeof(buffer->ticks[0]) },
		{ buffer->addresses + at, count * sizeof(buffer->addresses[0]) },
		{ buffer->sizes + at, count * sizeof(buffer->sizes[0]) },
		{ buffer->stacks + at, count * sizeof(buffer->stacks[0]) },
		{ buffer->details + word, words * sizeof(buffer->details[0]) },
	};
	struct wire_put put = { batch->heads, batch->heads + sizeof(batch->heads), 0 };
	uint8_t *head = put.at;
	size_t bytes = BATCH_FIXED_BYTES;
	uint32_t length;

	for (unsigned i = 0; i < BATCH_COLUMNS; i++)
		bytes += wire_head_bytes(columns[i].bytes) + columns[i].bytes;
	length = (uint32_t)(wire_head_bytes(bytes) + bytes);
	wire_put_raw(&put, &length, sizeof(length));
	wire_put_head(&put, FRAME_BATCH, bytes);
	wire_put_fixed32(&put, BATCH_THREAD, buffer->thread);
	wire_put_fixed64(&put, BATCH_FIRST_SEQ, buffer->first_seq + at);
	wire_put_fixed32(&put, BATCH_COUNT, (uint32_t)count);
	batch->part_count = 0;
	for (unsigned i = 0; i < BATCH_COLUMNS; i++) {
		wire_put_head(&put, BATCH_FIRST_COLUMN + i, columns[i].bytes);
		batch->parts[batch->part_count++] = (struct iovec){ head, (size_t)(put.at - head) };
		batch->parts[batch->part_count++] =
			(struct iovec){ (void *)columns[i].data, columns[i].bytes };
		head = put.at;
	}
}

/* Puts length and Frame head before a body of `bytes` bytes at out + 6; a body is below 128. */
static size_t frame_small(uint8_t *out, unsigned field, const struct wire_put *body)
{
	size_t bytes = (size_t)(body->at - (out + 6));
	uint32_t length = (uint32_t)bytes + 2;

	memcpy(out, &length, sizeof(length));
	out[4] = (uint8_t)(field << 3 | WIRE_BYTES);
	out[5] = (uint8_t)bytes;
	return bytes + 6;
}

size_t ht_thread_start_frame(uint8_t *out, const struct ring_buffer *buffer, uint32_t slot)
{
	struct wire_put put = { out + 6, out + THREAD_FRAME_BYTES, 0 };

	wire_put_fixed32(&put, THREAD_NUMBER, buffer->thread);
	wire_put_fixed32(&put, THREAD_TID, buffer->tid);
	wire_put_bytes(&put, THREAD_NAME, buffer->name,
		       strnlen(buffer->name, sizeof(buffer->name)));
	wire_put_fixed64(&put, THREAD_TICKS, buffer->start_ticks);
	wire_put_fixed32(&put, THREAD_BUFFER, slot);
	return frame_small(out, FRAME_THREAD_START, &put);
}

static uint64_t last_ticks(const struct ring_buffer *buffer)
{
	return buffer->count ? buffer->ticks[buffer->count - 1] : buffer->last_ticks;
}

size_t ht_thread_end_frame(uint8_t *out, const struct ring_buffer *buffer)
{
	struct wire_put put = { out + 6, out + THREAD_FRAME_BYTES, 0 };

	wire_put_fixed32(&put, THREAD_NUMBER, buffer->thread);
	wire_put_fixed64(&put, THREAD_END_TICKS, last_ticks(buffer));
	wire_put_fixed64(&put, THREAD_END_EVENTS, buffer->first_seq + buffer->count);
	return frame_small(out, FRAME_THREAD_END, &put);
}

/* A reader that sees the new first_seq also sees that the buffer is empty; one that sees it empty
 * with the old first_seq would take what was just sent for events that never were. */
static void restart(struct recorder *recorder)
{
	struct ring_buffer *buffer = recorder->buffer;
	uint64_t next = buffer->first_seq + buffer->count;

	recorder->sent = 0;
	buffer->last_ticks = last_ticks(buffer);
	__atomic_store_n(&buffer->fill, RING_RESTARTS, __ATOMIC_RELEASE);
	__atomic_store_n(&buffer->first_seq, next, __ATOMIC_RELEASE);
	__atomic_store_n(&buffer->fill, 0, __ATOMIC_RELEASE);
}

/* Instead of sending. */
static void drop(struct recorder *recorder)
{
	struct ring_buffer *buffer = recorder->buffer;
	uint64_t fill = __atomic_load_n(&buffer->fill, __ATOMIC_ACQUIRE);
	uint64_t from = buffer->first_seq + fill_count(recorder->sent);
	uint64_t to = buffer->first_seq + fill_count(fill);

	ht_loss_add(LOSS_DROPPED, to - from);
	if (from != buffer->dropped_to)
		__atomic_store_n(&buffer->dropped_from, from, __ATOMIC_RELEASE);
	__atomic_store_n(&buffer->dropped_to, to, __ATOMIC_RELEASE);
	recorder->sent = fill;
}

int ht_batch_send_start(struct recorder *recorder)
{
	uint8_t frame[THREAD_FRAME_BYTES];
	struct iovec iov = { frame, 0 };
	int error;

	if (recorder->announced)
		return 0;
	iov.iov_len = ht_thread_start_frame(frame, recorder->buffer, recorder->slot);
	error = ht_link_send(&iov, 1);
	recorder->announced = !error;
	return error;
}

int ht_batch_send_end(struct recorder *recorder)
{
	uint8_t frame[THREAD_FRAME_BYTES];
	struct iovec iov = { frame, 0 };
	int error = recorder->buffer->count ? -EAGAIN : ht_batch_send_start(recorder);

	if (error)
		return error;
	iov.iov_len = ht_thread_end_frame(frame, recorder->buffer);
	return ht_link_send(&iov, 1);
}

/* True when the frame that this recorder's events are in is on its way entirely. */
static bool arrived(const struct recorder *recorder)
{
	return ht_link.frames != recorder->frame || ht_link.unsent_bytes == 0;
}

/* Sends the stacks in frames of their own. */
static int send_stacks(void)
{
	ht_link.refused = false;
	ht_stacks_send();
	if (!ht_link.refused)
		return 0;
	return ht_link.state == LINK_ON ? -EAGAIN : -EPIPE;
}

/* The events up to `to` that no frame has taken, and what must precede them: the thread's start and
 * the stacks they name. */
static int send_events(struct recorder *recorder, uint64_t to)
{
	struct iovec parts[STACKS_PARTS + BATCH_PARTS];
	struct batch batch;
	uint32_t stacks = 0;
	int error = ht_batch_send_start(recorder);

	if (!error && ht_stacks_pending()) {
		stacks = ht_stacks_frame(parts);
		error = stacks ? 0 : send_stacks();
	}
	if (error)
		return error;
	ht_batch_layout(&batch, recorder->buffer, recorder->sent, to);
	if (!stacks)
		return ht_link_send(batch.parts, batch.part_count);
	memcpy(parts + STACKS_PARTS, batch.parts, batch.part_count * sizeof(parts[0]));
	error = ht_link_send(parts, STACKS_PARTS + batch.part_count);
	if (!error)
		ht_stacks_frame_sent(stacks);
	return error;
}

/*
 * Sends the events of the buffer, which keeps them: the daemon finds them there should this process
 * die before all have arrived. While a frame waits for room in the socket, the lock is not held and
 * signal handlers may add events; these go in a frame of their own.
 */
static int send_all(struct recorder *recorder)
{
	uint64_t fill = __atomic_load_n(&recorder->buffer->fill, __ATOMIC_ACQUIRE);
	int error = 0;

	while (!error && (recorder->frame || recorder->sent != fill)) {
		if (recorder->frame) {
			error = arrived(recorder) ? 0 : ht_link_push();
			if (!error)
				recorder->frame = 0;
			continue;
		}
		error = send_events(recorder, fill);
		if (!error) {
			recorder->sent = fill;
			/* What may be dropped is not waited for: the rest goes before the next frame. */
			recorder->frame = ht_link.drop_when_full ? 0 : ht_link.frames;
		}
	}
	return error;
}

/* A signal handler may have sent the events while we waited. It may also have forked, or hidden the
 * buffer (shim/record/resume.h). */
static bool has_events(const struct recorder *recorder)
{
	return recorder->buffer && recorder->buffer->count;
}

int ht_batch_try(struct recorder *recorder)
{
	int error;

	if (!has_events(recorder))
		return 0;
	error = send_all(recorder);
	if (!error)
		restart(recorder);
	return error;
}

static void send_waiting(struct recorder *recorder, bool keep)
{
	bool waited = false;

	for (;;) {
		struct link_hold hold;
		int error = 0;

		ht_link_lock(&hold);
		if (has_events(recorder)) {
			error = send_all(recorder);
			if (error == -EAGAIN && ht_link.drop_when_full) {
				drop(recorder);
				error = 0;
			}
			if (!error && !keep)
				restart(recorder);
		}
		ht_link_unlock(&hold);
		if (error != -EAGAIN)
			return;
		if (!waited)
			ht_loss_add(LOSS_WAITS, 1);
		waited = true;
		ht_link_wait();
	}
}

void ht_batch_send(struct recorder *recorder)
{
	send_waiting(recorder, false);
}

void ht_batch_send_kept(struct recorder *recorder)
{
	send_waiting(recorder, true);
}
