/*
 * The shared memory of a traced process: a memfd made by the shim, sealed against shrinking, and
 * handed to the daemon with Hello. The shim writes events here first; the daemon reads what has not
 * come through the socket yet (live view, merge by time, and after the program's death by any
 * cause). It reads with pread(2), so a hostile file cannot raise SIGBUS in it.
 *
 *   offset                        what
 *   0                             struct ring_head, one page
 *   buffers_offset + i * stride   struct ring_buffer i, 0 <= i < buffer_count
 *   nodes_offset                  struct ring_node [node_capacity], stack nodes by number
 *
 * Who writes: the buffer's thread, except `control`, which the daemon writes with pwrite(2), and
 * RING_PARKED; and a child, before a memory of its own takes this one's place: lost_forks, forks when
 * it was made behind the shim's back, spawns when it borrows its parent's memory.
 *
 * Switching. `control` says whether to record, and how often that was switched on in this process
 * (its "turn"; 0: recorded from its start). Before the daemon switches on, it parks every buffer in
 * use, so that each thread takes the slow path once and notices (shim/record/resume.h). The first one to
 * notice writes a `resume` event and sets begun_turn; when all blocks that were live are listed,
 * listed_turn follows.
 *
 * Threads that came and went. A thread's events may all lie in the socket when its buffer is somebody
 * else's already. So `threads` is raised before a thread has its buffer, and a thread leaves its
 * buffer only after its ThreadStart went out: a number up to `threads` that is in no buffer and was
 * not heard of is still to come through the socket, with events that are as old as any.
 *
 * Reading a buffer that its thread goes on writing: read the header, then the columns, then the
 * header again. `count` only grows while `first_seq` stays, and entries below `count` do not change
 * until `first_seq` does; if `first_seq` or `thread` differ, the buffer was sent meanwhile and the
 * events come, or came, through the socket. Between two such times `count` is RING_RESTARTS. The
 * header, too, is not read in one moment: that a buffer is empty, or idle, holds only when the header
 * says the same again.
 *
 * Dropped events. What is between the events in hand and first_seq is in the socket, or was dropped as
 * that was full: of a thread that rests from then on nobody else would say so.
 *
 * Changing the layout: bump RING_VERSION. The daemon takes offsets and counts from ring_head,
 * after checking them against the file's size, but column offsets from this header.
 */
#ifndef HEAPTAPE_PROTO_RING_H
#define HEAPTAPE_PROTO_RING_H

#include <stdint.h>

#define RING_MAGIC 0x31676e6972746568ull /* "hetring1" */
#define RING_VERSION 8

#define RING_CONTROL_RECORD 1u
#define RING_CONTROL_TURN_SHIFT 8
#define RING_TURN_MAX ((1u << (32 - RING_CONTROL_TURN_SHIFT)) - 1)

/* ring_buffer.busy: its thread has not noticed yet that recording was switched on. The buffer is
 * idle; no other value of `busy` is even. */
#define RING_PARKED 2u

/* ring_buffer.count: the buffer was sent, `first_seq` is about to change. */
#define RING_RESTARTS UINT32_MAX

/* A program that is started with a lower RLIMIT_DATA is not to load the shim: that alone takes four
 * megabytes, and the dynamic linker ends whom it finds too big. */
#define RING_LEAST_DATA_BYTES (6u << 20)

/* No memory has more. */
#define RING_BUFFERS_MAX 2048u
#define RING_NODES_MAX (8u << 20)

struct ring_head {
	uint64_t magic;
	uint32_t version;
	uint32_t control; /* RING_CONTROL_*; written by the daemon, read on every event */
	uint32_t buffer_count;
	uint32_t buffer_stride_bytes;
	uint64_t buffers_offset;
	uint64_t nodes_offset;
	uint32_t node_capacity;
	uint32_t buffers_used; /* buffers at or above this were never written */
	uint32_t nodes_used;   /* node numbers 1 .. nodes_used-1 were handed out */
	uint32_t nodes_sent;   /* node numbers below this have gone through the socket */
	uint32_t end_how;      /* enum process_end, as soon as the process knows */
	int32_t end_code; /* of PROCESS_EXEC: 1 when the new program gets the shim, and is to say Hello */
	uint64_t end_ticks;
	uint64_t lost[8]; /* Losses, fields 1..6 in order */
	uint64_t cut_reasons[8];
	uint32_t always_on;		      /* recording cannot be switched: blocks have guards */
	uint32_t begun_turn;		      /* the latest turn the process has noticed */
	uint32_t listed_turn;		      /* the latest turn whose live blocks are all listed */
	uint64_t listed_blocks, listed_bytes; /* in begun_turn, so far */
	uint32_t threads;		      /* numbers given out: 1 .. threads */
	uint32_t forks;	     /* begun, each before its child is there: so many will say Hello */
	uint32_t lost_forks; /* of these, children that found they cannot; they have counted */
	uint32_t
		lost_execs; /* programs started unrecorded that could not be announced (Unrecorded) */
	uint32_t spawns;    /* programs started with the shim by children that are not forks */
};

/* Measured: with 4096 events a batch, waking the daemon costs half of what it does with 1024. */
#define RING_EVENTS 4096
#define RING_DETAILS 8192 /* an event needs room for EVENT_MAX_DETAILS or the buffer is sent */

struct ring_buffer {
	uint32_t thread; /* number of the thread that writes here; 0: nobody */
	uint32_t tid;
	uint64_t first_seq; /* sequence number of entry 0 */
	union {
		struct {
			uint32_t count; /* entries complete; stored last, with release order */
			uint32_t details_used; /* words of `details` that belong to them */
		};
		uint64_t fill; /* both, stored as one: details_used << 32 | count */
	};
	uint32_t busy;	      /* an event is being stamped: its ticks are >= this thread's last */
	uint32_t meta_thread; /* the writer's own: thread as block records hold it */
	char name[16];
	uint64_t start_ticks;
	/* The latest events that were dropped: dropped_from .. dropped_to-1. Written in the other order,
	 * so that who reads one old and one new finds no events in between. */
	uint64_t dropped_to, dropped_from;
	uint64_t last_ticks; /* the event before entry 0; ticks never go down */
	uint64_t ticks[RING_EVENTS];
	uint64_t addresses[RING_EVENTS];
	uint64_t details[RING_DETAILS];
	uint32_t sizes[RING_EVENTS];
	uint32_t stacks[RING_EVENTS];
	uint8_t kinds[RING_EVENTS];
	uint8_t classes[RING_EVENTS];
};

/* Complete when pc != 0 (stored last, with release order). */
struct ring_node {
	uint64_t pc;
	uint32_t parent;
	uint16_t by_frame_pointer; /* see StackNodes */
	uint16_t dropped;	   /* the shim's: its path leads through a module that is gone */
};

_Static_assert(sizeof(struct ring_head) <= 4096, "the head is one page");
_Static_assert(sizeof(struct ring_buffer) % 8 == 0, "buffers stay aligned");

#endif
