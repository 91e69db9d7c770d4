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

#define RANGE_ALL ((struct range){INT64_MIN, INT64_MAX})

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
	struct range run, process, thread_id, at_ns, stack, address, oldest, last;
	uint32_t kinds; /* bit k: kind k is wanted */
};

struct scan_process {
	int64_t process_id, run_id;
};

struct scan {
	sqlite3 *db;
	struct scan_filter filter;
	unsigned wanted; /* CHUNK_* bits */
	struct chunk_reader *reader;
	struct scan_process *processes;
	unsigned process_count, process_next;
	struct scan_process process; /* the current one */
	int64_t *thread_ids; /* by number, of the current process; 0 unknown */
	unsigned thread_count;
	sqlite3_stmt *chunks;
	int64_t chunk_id;
	struct chunk_columns columns;
	unsigned opened; /* chunks decoded since the scan began */
	char *error;     /* sqlite3_malloc'ed, when a function failed */
};

int scan_init(struct scan *scan, sqlite3 *db, const struct scan_filter *filter, unsigned wanted);
void scan_release(struct scan *scan);

/* Goes to the next chunk. SQLITE_ROW: columns are there; SQLITE_DONE; or an error. */
int scan_next(struct scan *scan);

static inline int64_t scan_thread_id(const struct scan *scan, uint32_t thread)
{
	return thread < scan->thread_count ? scan->thread_ids[thread] : 0;
}

/* Chunks decoded by all scans of this process so far, for tests and heaptape_chunks_opened(). */
extern uint64_t scan_chunks_opened;

#endif
