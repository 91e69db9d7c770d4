/*
 * A chunk: up to CHUNK_MAX_EVENTS events of one process, in the order of their time, threads
 * interleaved, as one blob. The writer takes struct event_row and the reader gives them back
 * exactly (fields that a kind does not use come back as 0).
 *
 * The blob, version 1; integers are little-endian:
 *
 *   offset  size  meaning
 *   0       4     "hchk"
 *   4       1     version
 *   5       1     number of streams, n (20; those that are missing at the end are empty)
 *   6       1     bit 0: some event is earlier than the one before it
 *   7       1     0
 *   8       4     number of events
 *   12      4     0
 *   16      4     CRC-32 (zlib's) of bytes 0..15 and of all from 24 on
 *   20      4     0
 *   24      8 n   of each stream: bytes when unpacked, bytes stored
 *   24+8n         the streams one after another: as they are when both sizes agree, else one
 *                 zstd frame each
 *
 * An event takes from the streams what its OP byte says. A varint has 7 bits a byte, lowest
 * first; "z" is a signed difference, zigzag coded, as varint.
 *
 *   OP          1 byte an event: kind (bits 0-3; 0: 16 more than bits 4-6), flags OP_* (chunk_format.h)
 *   ODD         1 byte where OP_ODD is set: ODD_*, what is out of the ordinary
 *   THREAD      varint where ODD_THREAD: number of the thread; else that of the event before
 *   GAP         z where ODD_GAP: sequence number less the one expected (the thread's last in this
 *               chunk + 1, or 0)
 *   TIME_LOW, TIME_HIGH   the two bytes of the time since the event before; back when ODD_BACK.
 *               TIME_HIGH 255: it is a varint in TIME_LONG
 *   REF         varint of a free (or the old block of a realloc or live) with OP_FREE_REF: how many allocations
 *               of this chunk ago the block was allocated, 1 the last one. Address, sizes, stack,
 *               time and thread of the block all follow from it
 *   STACK_LOW, STACK_HIGH   the two bytes of the stack's number in this chunk, unless it is the
 *               one that followed the last stack before (two sequences: allocations, and frees
 *               without REF). Numbers count from 1 as stacks appear; a new one is followed by
 *   STACK_NEW   z: its stack_id less that of the stack before in the sequence
 *   CLASS       1 byte, unless sizes are as last time from this stack: number of the usable size,
 *               from 0 as they appear; a new one, and 255 (no number), is followed by
 *   CLASS_NEW   varint: the usable size
 *   SLACK       z, with CLASS: usable less requested size
 *   ADDRESS     unless it is that of the last block of its CLASS freed: the difference to the last
 *               address of the CLASS; 2 * z of a sixteenth, or 1 and z when that has a remainder
 *   AGE         z of a free without REF: allocated_at_ns less that of the last such free
 *   BY          varint where ODD_BY: allocated_by; else that of the last free without REF
 *   OLD         1 byte of a realloc or live: 0, or 1 and OP_FREE_* of the old block, which comes
 *               first
 *   PAGES       of an event that is not about a block: z of address less that of the last such
 *               event, z size_bytes, then as varints usable_bytes, old_address, old_size_bytes,
 *               old_usable_bytes, allocated_at_ns, allocated_by, old_stack_id, stack_id
 *   FREED       varint of a free with ODD_FREED and of all frees after it: 0 where freed_stack_id
 *               is what it was when last a block of this stack was freed after one that was freed
 *               at the same stack; else 1 more than z: its difference to that of the free before
 *
 * Changing any of this: bump CHUNK_VERSION and keep reading the old ones.
 */
#ifndef HEAPTAPE_PROTO_CHUNK_H
#define HEAPTAPE_PROTO_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/event_row.h"

#define CHUNK_VERSION 1
#define CHUNK_MAX_EVENTS 65536u

/* What the columns of table `chunks` say about a chunk. */
struct chunk_bounds {
	uint64_t first_ns, last_ns;	    /* lowest and highest at_ns */
	uint64_t oldest_ns;		    /* lowest at_ns or known allocated_at_ns */
	uint64_t address_low, address_high; /* of address, and of old_address of blocks */
	uint32_t events;
	uint32_t kinds; /* bit k: an event of kind k */
	uint32_t thread_low, thread_high;
	uint32_t stack_low, stack_high;
	uint32_t raw_bytes; /* before compression */
};

/*
 * Writing. A press holds what is needed only while a chunk is finished (compressor, output); one
 * serves any number of writers of one thread. A writer's memory grows with the events in it, to
 * about 2 MiB, and is kept for the next chunk.
 */
struct chunk_press;
struct chunk_writer;

struct chunk_press *chunk_press_new(void); /* NULL: no memory */
void chunk_press_free(struct chunk_press *press);

struct chunk_writer *chunk_writer_new(void); /* NULL: no memory */
void chunk_writer_free(struct chunk_writer *writer);

/* 0; -ENOSPC: the chunk is full, finish it and add the row again; -ENOMEM; -EINVAL: no such kind. */
int chunk_writer_add(struct chunk_writer *writer, const struct event_row *row);

/* Events added since the last finish. */
unsigned chunk_writer_events(const struct chunk_writer *writer);

/*
 * Completes the chunk and empties the writer. *ret_blob belongs to the press and lives until its
 * next use. -ENODATA: no events; -ENOMEM (the events are kept).
 */
int chunk_writer_finish(struct chunk_writer *writer, struct chunk_press *press,
			const void **ret_blob, size_t *ret_bytes, struct chunk_bounds *ret_bounds);

/* Reading. */
struct chunk_reader;

/* Columns, as bits of `wanted`. */
enum chunk_column {
	CHUNK_AT_NS = 1 << 0,
	CHUNK_SEQ = 1 << 1,
	CHUNK_ADDRESS = 1 << 2,
	CHUNK_SIZE = 1 << 3, /* size_bytes and usable_bytes */
	CHUNK_STACK = 1 << 4,
	CHUNK_THREAD = 1 << 5,
	CHUNK_KIND = 1 << 6,
	CHUNK_ALLOCATED = 1 << 7, /* allocated_at_ns and allocated_by */
	CHUNK_OLD = 1 << 8,	  /* old_address, old_size_bytes, old_usable_bytes, old_stack_id */
	CHUNK_FREED = 1 << 9,	  /* freed_stack_id */
	CHUNK_ALL = (1 << 10) - 1
};

/* Arrays of `events` entries; those not wanted are NULL. They belong to the reader. */
struct chunk_columns {
	unsigned events;
	bool sorted; /* at_ns never goes down (always known) */
	const uint64_t *at_ns;
	const uint64_t *seq;
	const uint64_t *address;
	const uint64_t *size_bytes;
	const uint64_t *usable_bytes;
	const uint64_t *allocated_at_ns;
	const uint64_t *old_address;
	const uint64_t *old_size_bytes;
	const uint64_t *old_usable_bytes;
	const uint32_t *stack_id;
	const uint32_t *thread;
	const uint32_t *allocated_by;
	const uint32_t *old_stack_id;
	const uint32_t *freed_stack_id;
	const uint8_t *kind;
};

struct chunk_reader *chunk_reader_new(void); /* NULL: no memory */
void chunk_reader_free(struct chunk_reader *reader);

/*
 * Decodes the wanted columns of a blob. Any bytes may be given: what is not a chunk is refused.
 *   -EPROTO a newer version · -EBADMSG damaged (chunk_reader_error says where) · -ENOMEM
 * The arrays live until the next call or chunk_reader_free(); the blob is not needed any more.
 */
int chunk_reader_decode(struct chunk_reader *reader, const void *blob, size_t bytes,
			unsigned wanted, struct chunk_columns *ret_columns);

/* Why the last decode failed, in words. */
const char *chunk_reader_error(const struct chunk_reader *reader);

/* Row i of columns that were decoded with CHUNK_ALL. */
void chunk_row(const struct chunk_columns *columns, unsigned i, struct event_row *ret_row);

#endif
