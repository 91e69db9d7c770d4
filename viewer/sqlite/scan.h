/*
 * A scan over the chunks of some processes, in order of process and time. Chunks whose bounds
 * exclude every wanted row are passed over; their blob is never read.
 */
#ifndef HEAPTAPE_VIEWER_SQLITE_SCAN_H
#define HEAPTAPE_VIEWER_SQLITE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/chunk.h"
#include "viewer/sqlite/sqlite_api.h"

struct range {
	int64_t low, high;
};

#define RANGE_ALL ((struct range){ INT64_MIN, INT64_MAX })

static inline bool in_range(struct range range, int64_t value)
{
	return value >= range.low && value <= range.high;
}

static inline bool range_is_all(struct range range)
{
	return range.low == INT64_MIN && range.high == INT64_MAX;
}

/* What is wanted; every range and mask may let through more than that, never less. */
struct scan_filter {
	struct range run, process, thread_id, stack, address;
	struct range at_ns;    /* of the event */
	struct range known_ns; /* at_ns or allocated_at_ns: of anything in the event */
	uint32_t kinds;	       /* bit k: kind k is wanted */
	bool descending;       /* the latest first */
};

/* What a table asks the plain tables. A query may look into it again and again, for each row of
 * another: the table keeps the statements that no scan is using. */
enum scan_statement {
	SCAN_PROCESSES,
	SCAN_THREADS,
	SCAN_CHUNKS,
	SCAN_CHUNKS_LATEST_FIRST,
	SCAN_GAPS,
	SCAN_ANY_GAP,
	SCAN_STATEMENTS
};

struct scan_statements {
	sqlite3_stmt *statement[SCAN_STATEMENTS];
};

struct scan_process {
	int64_t process_id, run_id, peak_blocks;
};

struct scan {
	sqlite3 *db;
	struct scan_statements *spare; /* the table's */
	struct scan_statements statements;
	struct scan_filter filter;
	unsigned wanted; /* CHUNK_* bits */
	struct chunk_reader *reader;
	struct scan_process *processes;
	unsigned process_count, process_next;
	struct scan_process process; /* the current one */
	int64_t *thread_ids;	     /* by number, of the current process; 0 unknown */
	unsigned thread_count;
	sqlite3_stmt *chunks; /* of `statements` */
	bool found;	      /* `chunks` is at a chunk that was not decoded yet */
	bool through;	      /* `chunks` has no more; stepping it again would begin anew */
	int64_t chunk_id, chunk_first_ns, chunk_last_ns;
	struct chunk_columns columns;
	unsigned opened; /* chunks decoded since the scan began */
	char *error;	 /* sqlite3_malloc'ed, when a function failed */
};

int scan_init(struct scan *scan, sqlite3 *db, struct scan_statements *spare,
	      const struct scan_filter *filter, unsigned wanted);
void scan_release(struct scan *scan);

/* One of them, prepared when it is needed first; reset it after use. */
int scan_statement(sqlite3 *db, struct scan_statements *of, enum scan_statement which,
		   sqlite3_stmt **ret_statement);
void scan_statements_release(struct scan_statements *statements);

/* Readers, some of which are kept for the next who needs one. NULL: no memory. */
struct chunk_reader *scan_reader_take(void);
void scan_reader_give(struct chunk_reader *reader);

/* Goes to the next process, then from chunk to chunk of it. SQLITE_ROW; SQLITE_DONE: there is no
 * further one; or an error. */
int scan_next_process(struct scan *scan);
int scan_next_chunk(struct scan *scan);
/* The two halves of scan_next_chunk: finds the next chunk (or stays at the one found), and decodes
 * the one found with any reader. */
int scan_find_chunk(struct scan *scan);
int scan_decode_chunk(struct scan *scan, struct chunk_reader *reader,
		      struct chunk_columns *ret_columns);
/* Goes back to before the first chunk of the process. */
void scan_rewind_process(struct scan *scan);

/* A row's id from what tells it from others. SQLite may read a table in several ways for one query (for
 * a OR b), and by the ids it knows which rows it has already seen: they must not depend on the way. */
static inline int64_t scan_row_id(const uint64_t *values, unsigned count)
{
	uint64_t id = 0;

	for (unsigned i = 0; i < count; i++) {
		id = (id ^ values[i]) * 0x9e3779b97f4a7c15u;
		id ^= id >> 32;
	}
	return (int64_t)id;
}

static inline int64_t scan_thread_id(const struct scan *scan, uint32_t thread)
{
	return thread < scan->thread_count ? scan->thread_ids[thread] : 0;
}

/* Chunks decoded by this thread so far: SQL function heaptape_chunks_opened(). */
extern __thread uint64_t scan_chunks_opened;

#endif
