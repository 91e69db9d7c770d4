/*
 * The shared memory of a traced process (proto/ring.h), read from outside with pread(2): what it
 * holds may be nonsense, and may change while it is read, so everything is copied, then checked.
 */
#ifndef HEAPTAPE_DAEMON_RING_H
#define HEAPTAPE_DAEMON_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/batch.h"
#include "proto/ring.h"

struct ring {
	int fd;		       /* -1: the process shares no memory */
	struct ring_head head; /* as last read; geometry as first checked */
};

/* The columns' offsets in struct ring_buffer end here; before it is the header. */
#define RING_BUFFER_HEADER_BYTES offsetof(struct ring_buffer, ticks)

/* A buffer's header only. */
struct ring_buffer_head {
	uint32_t thread;
	uint32_t tid;
	uint64_t first_seq;
	uint32_t count;
	uint32_t details_used;
	uint32_t busy;
	uint32_t reserved;
	char name[16];
	uint64_t start_ticks;
	uint64_t dropped_to, dropped_from;
	uint64_t padding;
};
_Static_assert(sizeof(struct ring_buffer_head) == RING_BUFFER_HEADER_BYTES, "a prefix");

/* Takes over `fd` and checks it. -EPROTO: not such a memory, or not sealed (`fd` is not taken). */
int ring_open(struct ring *ring, int fd);
void ring_close(struct ring *ring);

/* Reads the head again. -EPROTO when its geometry changed. */
int ring_refresh(struct ring *ring);

/* Writes the control word; parks all buffers in use (proto/ring.h). */
int ring_control(const struct ring *ring, uint32_t control);
void ring_park(struct ring *ring);

int ring_read_buffer_head(const struct ring *ring, uint32_t slot, struct ring_buffer_head *ret);

/*
 * Copies events of a buffer, from sequence number `from_seq` on, into a batch with slabs of its
 * own, not yet checked by batch_check(). `head` is what was read just before.
 *   -ENODATA nothing there from `from_seq` on · -EAGAIN the thread sent the buffer meanwhile ·
 *   -EPROTO nonsense · -ENOMEM
 */
int ring_read_events(const struct ring *ring, uint32_t slot, const struct ring_buffer_head *head,
		     uint64_t from_seq, struct batch *ret_batch);

/* Copies up to `max` nodes from number `first` on; returns how many. A pc of 0: not complete. */
int ring_read_nodes(const struct ring *ring, uint32_t first, struct ring_node *ret_nodes,
		    uint32_t max);

#endif
