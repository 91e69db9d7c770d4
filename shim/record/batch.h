/*
 * Frames about a thread: ThreadStart, EventBatch, ThreadEnd. Heads are written with proto/wire.h,
 * columns go out straight from the thread's buffer.
 */
#ifndef HEAPTAPE_SHIM_RECORD_BATCH_H
#define HEAPTAPE_SHIM_RECORD_BATCH_H

#include <sys/uio.h>

#include "shim/record/record.h"

#define BATCH_COLUMNS 7
#define BATCH_PARTS (2 * BATCH_COLUMNS)
#define BATCH_HEAD_BYTES 128

/* An EventBatch frame as it is handed to the socket. */
struct batch {
	uint8_t heads[BATCH_HEAD_BYTES];
	struct iovec parts[BATCH_PARTS];
	unsigned part_count;
};

/* Lays out the frame of the buffer's events from one `fill` up to another. They must not change until
 * the frame is sent. */
void ht_batch_layout(struct batch *batch, const struct ring_buffer *buffer, uint64_t from,
		     uint64_t to);

/* A ThreadStart or ThreadEnd frame; return the frame's bytes, its length included. */
#define THREAD_FRAME_BYTES 64
size_t ht_thread_start_frame(uint8_t *out, const struct ring_buffer *buffer, uint32_t slot);
size_t ht_thread_end_frame(uint8_t *out, const struct ring_buffer *buffer);

/*
 * Sends what the recorder's buffer holds, and before it the thread's start and the stacks it names.
 * Waits for a full socket, or drops the events and counts them, as the program's user wants it.
 * The buffer is empty afterwards unless the recording is over.
 */
void ht_batch_send(struct recorder *recorder);

/* The same for another thread's recorder: the events stay in its buffer, where that thread may be
 * adding more. They are not sent a second time. */
void ht_batch_send_kept(struct recorder *recorder);

/* The parts of it, each one attempt with the lock held, returning as ht_link_send:
 * the thread's start, unless it was sent already; */
int ht_batch_send_start(struct recorder *recorder);

/* the events, if there are any, and what must precede them; */
int ht_batch_try(struct recorder *recorder);

/* the thread's end, once its buffer is empty (else -EAGAIN). */
int ht_batch_send_end(struct recorder *recorder);

#endif
