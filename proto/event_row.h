/*
 * One event as the daemon stores it and every reader gets it back: ticks turned into nanoseconds,
 * stack nodes into stack ids, size classes into bytes. Which fields a kind uses:
 *
 *   every kind      at_ns seq thread kind address stack_id
 *   blocks          size_bytes (requested) usable_bytes
 *   free            and of the block freed: size_bytes usable_bytes stack_id (where it was
 *                   allocated) allocated_at_ns allocated_by freed_stack_id (where it is freed; 0
 *                   not known)
 *   realloc         new block as above; old_address old_size_bytes old_usable_bytes old_stack_id
 *                   allocated_at_ns allocated_by of the old one (old_address 0: there was none)
 *   live            as a block; and when it was recorded before, the same once more as
 *                   old_address ... old_stack_id, with allocated_at_ns and allocated_by
 *   resume          size_bytes = pages held, usable_bytes = the turn, allocated_at_ns = when recording
 *                   went off
 *   sbrk brk        address = the break before, old_address = the break after; size_bytes = the
 *                   increment, a signed difference
 *   mmap            size_bytes = length, usable_bytes = protection << 32 | flags
 *   munmap unspan   size_bytes = length
 *   mremap          size_bytes = new length, old_address, old_size_bytes = old length
 *   madvise         size_bytes = length, usable_bytes = advice
 *   span            size_bytes = length, usable_bytes = bytes of each block in it
 *
 * Fields a kind does not use are 0.
 */
#ifndef HEAPTAPE_PROTO_EVENT_ROW_H
#define HEAPTAPE_PROTO_EVENT_ROW_H

#include <stdint.h>

/* allocated_at_ns of a block that was live before recording began. */
#define EVENT_TIME_UNKNOWN UINT64_MAX

struct event_row {
	uint64_t at_ns; /* since the run began */
	uint64_t seq;	/* within the thread */
	uint64_t address;
	uint64_t size_bytes;
	uint64_t usable_bytes;
	uint64_t old_address;
	uint64_t old_size_bytes;
	uint64_t old_usable_bytes;
	uint64_t allocated_at_ns;
	uint32_t thread; /* threads.number */
	uint32_t stack_id;
	uint32_t allocated_by; /* threads.number; 0 unknown */
	uint32_t old_stack_id;
	uint32_t freed_stack_id;
	uint8_t kind; /* enum event_kind | EVENT_BY_ALLOCATOR */
	uint8_t reserved[3];
};

#endif
