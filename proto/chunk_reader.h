/* The reader's state, shared by chunk_open.c (header, streams), chunk_read.c (events) and
 * chunk_columns.c. */
#ifndef HEAPTAPE_PROTO_CHUNK_READER_H
#define HEAPTAPE_PROTO_CHUNK_READER_H

#include <zstd.h>

#include "proto/chunk_format.h"

struct cursor {
	const uint8_t *at;
	const uint8_t *end;
};

struct site {
	uint64_t size_bytes, usable_bytes;
	uint32_t stack_id, class;
	uint32_t follower[2]; /* as in chunk_write.c */
};

struct size_class {
	uint64_t usable_bytes, last, freed;
};

struct chunk_reader {
	ZSTD_DCtx *zstd;
	uint8_t *streams; /* room for each stream at its largest, so that reading past a short one
			   * stays inside; decoding notices it at the end */
	size_t streams_bytes;
	struct cursor cursor[CHUNK_STREAM_COUNT];
	unsigned events;
	uint8_t *columns; /* all arrays, in one allocation */
	uint64_t *at_ns, *seq, *address, *size_bytes, *usable_bytes, *allocated_at_ns, *old_address,
		*old_size_bytes, *old_usable_bytes;
	uint32_t *stack_id, *thread, *allocated_by, *old_stack_id, *freed_stack_id;
	uint8_t *kind;
	uint32_t *block_event; /* event of the n-th allocation */
	uint8_t *block_class;
	uint8_t *odd;	       /* of each event; valid where OP_ODD is set */
	uint32_t *old_written; /* events whose old_* were written: the others are 0 */
	unsigned old_written_count;
	bool freed_written; /* freed_stack_id is not all 0 */
	struct site *sites;
	uint64_t *next_seq;
	uint32_t thread_capacity;
	uint32_t thread_low, thread_high; /* of next_seq's entries that are not 0, but for [0] */
	struct size_class classes[CLASS_MAX + 2];
	unsigned class_count, site_count, last_site[2];
	uint64_t last_allocated_ns;
	uint32_t last_by;
	struct freed_guesses freed_guesses;
	char error[160];
};

/* Checks the header and unpacks the streams in `needed`; the others become empty. */
int chunk_reader_streams(struct chunk_reader *reader, const uint8_t *blob, size_t bytes,
			 uint32_t needed);

/* Notes what is wrong and returns -EBADMSG. */
int chunk_reader_bad(struct chunk_reader *reader, const char *what);

/* Those columns of the events that have been decoded. */
void chunk_reader_columns(const struct chunk_reader *reader, bool sorted, unsigned wanted,
			  struct chunk_columns *ret_columns);

#endif
