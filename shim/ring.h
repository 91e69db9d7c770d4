/*
 * The process's shared memory (proto/ring.h): one memfd, mapped here and handed to the daemon. When
 * the system forbids memfds it is private memory instead: everything works but what was not sent
 * when the program dies is lost (`fd` is -1 then).
 */
#ifndef HEAPTAPE_SHIM_RING_H
#define HEAPTAPE_SHIM_RING_H

#include "proto/ring.h"
#include "shim/record.h"

enum { RING_ALIVE = 1, RING_BEGINS = 2 /* a child is just making its own */ };

struct ring {
	struct ring_head *head;	    /* NULL: no memory at all */
	struct recorder *recorders; /* one per buffer; wiped in a child that fork made */
	uint32_t *alive;	    /* a word on wipe-on-fork pages, so 0 in such a child */
	size_t bytes;
	int fd; /* until it is handed over */
	bool shared;
};

extern struct ring ht_ring;

/* Makes and maps it, empty. 0 or -errno. */
int ht_ring_make(struct ring *ring);

/* In a fork child: another one, empty, at the same addresses. The parent's is never written again,
 * not even by a frame that the fork (in a signal handler) interrupted. 0 or -errno. */
int ht_ring_renew(struct ring *ring);

/* Unmaps it; closes fd when it is still open. */
void ht_ring_drop(struct ring *ring);

static inline struct ring_buffer *ht_ring_buffer(const struct ring *ring, uint32_t slot)
{
	return (struct ring_buffer *)((char *)ring->head + ring->head->buffers_offset +
				      (uint64_t)slot * ring->head->buffer_stride_bytes);
}

static inline struct ring_node *ht_ring_nodes(const struct ring *ring)
{
	return (struct ring_node *)((char *)ring->head + ring->head->nodes_offset);
}

/* Losses.proto field `field` (1 ..) grows. Several threads may count at once. */
enum ring_loss {
	LOSS_DROPPED = 1,
	LOSS_UNRECORDED,
	LOSS_CUT_STACKS,
	LOSS_WAIT_NS,
	LOSS_WAITS,
	LOSS_FOREIGN_FREES
};

void ht_loss_add(enum ring_loss loss, uint64_t amount);

#endif
