/*
 * The process's shared memory (proto/ring.h): one memfd, handed to the daemon. When the system
 * forbids memfds it is private memory instead: everything works but what was not sent when the
 * program dies is lost (`fd` is -1 then).
 *
 * The file is large and sparse. Only those pieces of it are mapped that are in use, as mapped memory
 * counts towards the program's limits, and what the program locks becomes resident: the head, the
 * buffers that threads have, and the nodes in segments, each as large as all before it. The
 * descriptor is closed once the daemon has it, so a new piece is mapped by way of its neighbour
 * (mremap(2) with an old size of 0). For this at least one page of each buffer stays mapped.
 */
#ifndef HEAPTAPE_SHIM_RING_H
#define HEAPTAPE_SHIM_RING_H

#include "proto/ring.h"
#include "shim/control.h"

/* One thread's recorder. Lives on wipe-on-fork pages, slot by slot like the ring's buffers. */
struct recorder {
	struct ring_buffer *buffer; /* NULL: none yet, or the pages were wiped */
	struct recorder *nested;    /* of signal handlers that interrupt this one, or NULL */
	uint64_t sent;		    /* `fill` up to which events of the buffer are in a frame */
	uint64_t frame;		    /* the latest such frame while not all of it is sent, or 0 */
	struct ring_buffer *hidden; /* `buffer` while blocks are listed and it is not; resume.h */
	uint32_t slot;
	uint32_t turn;	  /* of the control word: joined, */
	uint32_t noticed; /* and known of */
	bool announced;	  /* ThreadStart went through the socket */
} __attribute__((aligned(64)));

/* The parts of ring_buffer.fill. */
static inline uint32_t fill_count(uint64_t fill)
{
	return (uint32_t)fill;
}

static inline uint32_t fill_details(uint64_t fill)
{
	return (uint32_t)(fill >> 32);
}

enum { RING_ALIVE = 1, RING_BEGINS = 2 /* a child is just making its own */ };

/* Segment 0 has so many nodes, segment i > 0 so many times 2^(i-1). */
#define RING_SEGMENT_NODES 4096u
#define RING_SEGMENTS 12

struct ring {
	struct ring_head *head;			   /* NULL: no memory at all */
	struct ring_node *segments[RING_SEGMENTS]; /* in order; NULL: not mapped yet */
	struct ring_buffer *buffers[RING_BUFFERS_MAX];
	bool whole[RING_BUFFERS_MAX]; /* or only its header can be accessed */
	uint32_t buffers_mapped;      /* these, from the first on */
	uint32_t spare;		      /* whole ones that no thread has */
	uint32_t kept; /* in a fork child: the buffer that a frame of its thread may go on using */
	struct recorder *recorders; /* one per buffer; wiped in a child that fork made */
	uint32_t *alive;	    /* a word on wipe-on-fork pages, so 0 in such a child */
	const struct ring_size *size;
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

/* A buffer that was opened before. Unless it is open now, only its header can be accessed. */
static inline struct ring_buffer *ht_ring_buffer(const struct ring *ring, uint32_t slot)
{
	return ring->buffers[slot];
}

/* Makes a buffer accessible; the next one after those that ever were, or one of these. NULL: no
 * memory. And gives it back. Under the send lock. */
struct ring_buffer *ht_ring_open(struct ring *ring, uint32_t slot);
void ht_ring_close(struct ring *ring, uint32_t slot);

/* Makes the segment accessible that has a node. False: no memory. For any thread, without a lock. */
bool ht_ring_reach(struct ring *ring, uint32_t node);

/* The program is about to forbid mremap(2): maps pieces ahead. Under the send lock. */
void ht_ring_ahead(struct ring *ring);

static inline unsigned ring_segment(uint32_t node)
{
	return node < RING_SEGMENT_NODES ? 0 : 32 - 12 - (unsigned)__builtin_clz(node);
}

static inline uint32_t ring_segment_nodes(unsigned segment)
{
	return RING_SEGMENT_NODES << (segment ? segment - 1 : 0);
}

/* A node whose segment is accessible. */
static inline struct ring_node *ht_ring_node(const struct ring *ring, uint32_t node)
{
	unsigned segment = ring_segment(node);

	return __atomic_load_n(&ring->segments[segment], __ATOMIC_ACQUIRE) +
	       (node & (ring_segment_nodes(segment) - 1));
}

/*
 * For a thread that finds its own pages empty: this process is a copy that was made behind our back, and
 * its record is begun by what ht_ring_on_copy() was given. False: there is none to write into.
 */
bool ht_ring_is_begun(void);
void ht_ring_on_copy(void (*begin)(void));

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
