/* The writer's state, shared by chunk_write.c (adding events) and chunk_finish.c (the rest). */
#ifndef HEAPTAPE_PROTO_CHUNK_WRITER_H
#define HEAPTAPE_PROTO_CHUNK_WRITER_H

#include "proto/chunk_format.h"

#define CLASS_SLOTS 1024u

/* Everything a later free of the block can refer to. */
struct block {
	uint64_t address, at_ns;
	uint32_t size_bytes, stack_id, thread;
	uint16_t next; /* block of the same hash before it, + 1 */
	uint8_t class; /* CLASS_ESCAPE: it cannot be referred to */
};

/* A free looks no further than this for its block; what it does not find is stored as a literal. */
#define CHAIN_MOST 8

/* What is remembered of each stack of this chunk. */
struct site {
	uint32_t stack_id;
	uint32_t follower[2]; /* which came next last time: allocated, freed */
	uint64_t size_bytes, usable_bytes;
	uint32_t class;
};

/* What is remembered of each usable size. */
struct size_class {
	uint64_t usable_bytes, last, freed;
};

/* Indices + 1 by hash: heads of the chains of blocks, and an open-addressing table of sites. */
struct slots {
	uint16_t *slot;
	uint32_t mask;
};

struct chunk_writer {
	struct chunk_bounds bounds;
	uint64_t last_ns, last_page, last_allocated_ns;
	uint32_t last_thread, last_by, last_site[2];
	uint32_t block_count, site_count, class_count;
	bool unsorted;
	bool freed; /* frees say where they are */
	uint8_t *at[CHUNK_STREAM_COUNT];
	uint8_t *start[CHUNK_STREAM_COUNT];
	uint8_t *memory;
	size_t memory_bytes;
	struct block *blocks;
	struct site *sites;
	struct slots block_slots, site_slots;
	uint64_t *next_seq; /* by thread number, of those below thread_capacity */
	uint32_t thread_capacity;
	uint32_t thread_low, thread_high; /* numbers touched since the last finish */
	uint8_t class_slot[CLASS_SLOTS];
	struct size_class classes[CLASS_MAX + 2];
	struct freed_guesses freed_guesses;
};

/* Empties the writer for the next chunk. */
void chunk_writer_clear(struct chunk_writer *writer);

#endif
