/*
 * What all recordings of a daemon share: the way into the database, and the lists of what is being
 * recorded.
 *
 * Who owns whom is a tree, and each knows only what is below it:
 *
 *   server ──▶ peer ──▶ process ──▶ run ──▶ daemon ──▶ writer, stacks, kept
 *      └──▶ resolver, control, commit ──┘
 *
 * Whatever must be told upward is a callback, given when the lower one is made. The daemon has one
 * thread, so all of them are called on the thread of the loop.
 */
#ifndef HEAPTAPE_DAEMON_DAEMON_H
#define HEAPTAPE_DAEMON_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/kept.h"
#include "daemon/stacks.h"
#include "daemon/writer.h"

struct daemon;
struct process; /* process.h */
struct run;	/* run.h */

/* What the daemon's owner is told. */
struct daemon_calls {
	/* The writer has failed and is about to go on: what was written since the latest commit is undone.
	 * Everything that counted on it is to be marked; nothing can be written yet. */
	void (*undone)(struct daemon *daemon);
	/* The run's rows are final and committed; or it will never be possible to write them. It is still in
	 * the list, and freed afterwards. May write and commit; may not end another run. */
	void (*run_done)(struct daemon *daemon, int64_t run_id, bool has_stacks);
};

struct daemon {
	const struct daemon_calls *calls;
	struct writer writer;
	struct stacks stacks;
	struct kept kept; /* modules' files */
	struct chunk_press *press;
	struct process *processes; /* running; only process.h follows it */
	struct run *runs;	   /* not ended; only run.h follows it */
	unsigned writers_in_use;   /* chunk writers that hold events */
	size_t pending_bytes;	   /* of all processes */
	uint64_t failures_seen;	   /* of the writer, by process_cut_all() */
	uint64_t failures_checked; /* by commit_check() */
	bool failure_told;	   /* and no commit since */
	uint64_t commit_ns;	   /* of the latest commit with everything in it */
	uint64_t frames_stored;	   /* of stacks.frames_added, committed */
	bool private;		   /* of one command, and ends with it */
	bool stopping;
	const char *socket_path; /* absolute where that can be told */
};

/* Opens the database. Negative errno, with nothing left open. */
int daemon_open(struct daemon *daemon, const char *db_path, const struct daemon_calls *calls,
		struct store_error *ret_error);
void daemon_close(struct daemon *daemon);

/* Lets a writer that failed try again. */
void daemon_retry(struct daemon *daemon);

#endif
