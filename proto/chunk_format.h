/*
 * What chunk_write.c and chunk_read.c share: the streams of a chunk (see the table in chunk.h)
 * and the small models both sides keep in step.
 */
#ifndef HEAPTAPE_PROTO_CHUNK_FORMAT_H
#define HEAPTAPE_PROTO_CHUNK_FORMAT_H

#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include "proto/chunk.h"
#include "proto/event.h"

#define CHUNK_MAGIC 0x6b686368u /* "hchk" */
#define CHUNK_HEADER_BYTES 24
#define CHUNK_SUM_OFFSET 16
#define CHUNK_FLAG_UNSORTED 1u
#define CHUNK_MAX_THREADS (1u << 24) /* thread numbers are below */

/*
 * The streams, and the most bytes that one event makes a reader take from each, whatever the bytes
 * are: a varint is 10 at most, and a realloc is two blocks.
 */
#define CHUNK_STREAMS(ROW) \
	ROW(OP, 1)         \
	ROW(ODD, 1)        \
	ROW(THREAD, 10)    \
	ROW(GAP, 10)       \
	ROW(TIME_LOW, 1)   \
	ROW(TIME_HIGH, 1)  \
	ROW(TIME_LONG, 10) \
	ROW(REF, 10)       \
	ROW(STACK_LOW, 2)  \
	ROW(STACK_HIGH, 2) \
	ROW(STACK_NEW, 20) \
	ROW(CLASS, 2)      \
	ROW(CLASS_NEW, 20) \
	ROW(SLACK, 20)     \
	ROW(ADDRESS, 40)   \
	ROW(AGE, 10)       \
	ROW(BY, 10)        \
	ROW(OLD, 1)        \
	ROW(PAGES, 100)    \
	ROW(FREED, 10)

enum chunk_stream {
#define ROW(NAME, most) CHUNK_##NAME##_STREAM,
	CHUNK_STREAMS(ROW)
#undef ROW
		CHUNK_STREAM_COUNT
};

/* Chunks written before there were more have these. */
#define CHUNK_STREAM_LEAST 19

#define CHUNK_DATA_OFFSET (CHUNK_HEADER_BYTES + 8 * CHUNK_STREAM_COUNT)

/*
 * The kind lies in bits 0 to 3 of an OP byte. An event that is not about a block has no use for the flags
 * in bits 4 to 6: where bits 0 to 3 are 0, they say how much its kind is above 16.
 */
#define OP_KIND 0x0fu
#define OP_HIGH_KIND 0x70u
#define OP_HIGH_SHIFT 4
_Static_assert(EVENT_KIND_COUNT <= OP_KIND + 1 + (OP_HIGH_KIND >> OP_HIGH_SHIFT) + 1,
	       "a kind fits");
_Static_assert(EVENT_BLOCK_KINDS >> (OP_KIND + 1) == 0, "kinds about blocks have four bits");

static inline unsigned op_of_kind(unsigned kind)
{
	return kind <= OP_KIND ? kind : (kind - OP_KIND - 1) << OP_HIGH_SHIFT;
}

static inline unsigned op_kind(unsigned op)
{
	unsigned low = op & OP_KIND;

	return low ? low : OP_KIND + 1 + ((op & OP_HIGH_KIND) >> OP_HIGH_SHIFT);
}

/* Bits above the kind. */
#define OP_ODD 0x80u	       /* a byte in ODD */
#define OP_STACK_FOLLOWS 0x10u /* blocks: the stack that followed the last one's before */
#define OP_SIZE_SAME 0x20u     /* blocks: size and usable size as last time from this stack */
#define OP_ADDRESS_FREED 0x40u /* blocks: the last block of that usable size that was freed */
#define OP_FREE_REF 0x10u      /* free: of a block allocated in this chunk */
#define OP_FREE_FOLLOWS 0x20u  /* free, literal: OP_STACK_FOLLOWS */
#define OP_FREE_SAME 0x40u     /* free, literal: OP_SIZE_SAME */

#define ODD_THREAD 1u /* another thread than the event before: number in THREAD */
#define ODD_GAP 2u    /* not that thread's next sequence number: difference in GAP */
#define ODD_BACK 4u   /* the time goes back */
#define ODD_BY_ALLOCATOR 8u
#define ODD_BY 16u    /* literal: allocated by another thread than the literal before: BY */
#define ODD_FREED 32u /* free: from this one on, frees say where they are: FREED */

#define TIME_ESCAPE 0xffu /* in TIME_HIGH: the step is in TIME_LONG, and TIME_LOW is 0 */

/* OLD byte of a realloc: whether there was an old block, and OP_FREE_* bits about it. */
enum chunk_old { OLD_NONE, OLD_SOME };

#define CLASS_MAX 254u	  /* codes below: usable sizes in the order they first appeared */
#define CLASS_ESCAPE 255u /* the usable size itself is in CLASS_NEW */

/* Where a block will be freed, guessed: see FREED in chunk.h. */
#define FREED_GUESS_BITS 14

struct freed_guesses {
	uint32_t last; /* where the free before was */
	uint32_t next[1 << FREED_GUESS_BITS];
};

static inline uint32_t *freed_guess(struct freed_guesses *guesses, uint32_t stack_id)
{
	uint32_t hash = (stack_id * 0x9e3779b1u) ^ (guesses->last * 0x85ebca6bu);

	return &guesses->next[(hash ^ hash >> 15) & ((1u << FREED_GUESS_BITS) - 1)];
}

static inline uint64_t zigzag(int64_t value)
{
	return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline int64_t unzigzag(uint64_t value)
{
	return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* An address is stored as 2 * zigzag(difference / 16); a difference that is no multiple of 16 as
 * this mark and zigzag(difference). */
#define ADDRESS_ODD 1u

/* What stands at CHUNK_SUM_OFFSET, against damage: the CRC-32 of everything else, and four zeros. */
static inline uint64_t chunk_sum(const uint8_t *blob, size_t bytes)
{
	return crc32_z(crc32(0, blob, CHUNK_SUM_OFFSET), blob + CHUNK_HEADER_BYTES,
		       bytes - CHUNK_HEADER_BYTES);
}

static inline void chunk_seal(uint8_t *blob, size_t bytes)
{
	uint64_t sum = chunk_sum(blob, bytes);

	memcpy(blob + CHUNK_SUM_OFFSET, &sum, sizeof(sum));
}

#endif
