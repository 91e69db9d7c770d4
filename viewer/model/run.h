/*
 * A run as the reports see it: which one is meant, its row, and its processes added up. Whatever is
 * said of a run (report, runs, their JSON) reads run_fields by name.
 */
#ifndef HEAPTAPE_VIEWER_MODEL_RUN_H
#define HEAPTAPE_VIEWER_MODEL_RUN_H

#include <stdint.h>

#include "viewer/error.h"
#include "viewer/model/db.h"
#include "viewer/model/rows.h"

struct run {
	int64_t run_id;
	char *label, *command, *cwd, *host, *state, *version, *settings, *socket;
	int64_t started_at, ended_at; /* since 1970; ended_at UNKNOWN while it runs */
	int64_t exit_code, exit_signal, user_ns, system_ns, max_rss_bytes; /* UNKNOWN: not known */

	/* Sums over its processes. */
	int64_t processes, running; /* rows: one for each program a process has been */
	int64_t unrecorded;	    /* further rows, of programs of which nothing is recorded */
	int64_t execs;		    /* of `processes`: ended by becoming another program */
	int64_t foreign_symbols, foreign_programs; /* with a malloc of their own; of the first */
	char *foreign_path;
	int64_t events, lost_events, foreign_frees, cut_stacks, wait_ns, late_events;
	int64_t allocations, allocated_bytes, frees, freed_bytes, reallocations, failed, temporary;
	int64_t preexisting_frees;
	int64_t inherited_frees; /* of those: by fork children, of what their parents allocated */
	int64_t live_blocks, live_bytes;
	int64_t gaps, gaps_open; /* times without recording; those that last */
	int64_t chunk_bytes;	 /* what the events take in the file */

	/* The process with the highest peak. */
	int64_t peak_process_id, peak_pid, peak_bytes, peak_blocks, peak_ns;
	/* The highest of any process. */
	int64_t peak_held_bytes, peak_rss_bytes;
	int64_t last_ns;     /* the end of its last process, or its last sample */
	int64_t duration_ns; /* so far; UNKNOWN when nothing says */

	const char *short_command; /* without the folders of its program */
	char *ending;		   /* "0", "SIGSEGV", "running", "0, incomplete" */
};

/* Where run_fields come from. */
enum run_source { RUN_ROW, RUN_SUMS, RUN_PEAK, RUN_FOREIGN, RUN_GAPS, RUN_STORED };
extern const struct row_field run_fields[];

/* The run that a number, a label, "last" (also NULL) or "last~N" names. -ENOENT: there is none. */
int run_select(struct db *db, const char *name, int64_t *ret_run_id, struct error *error);
/* The same; *ret_run_id is 0 when there is none. */
int run_find(struct db *db, const char *name, int64_t *ret_run_id, struct error *error);

int run_load(struct db *db, int64_t run_id, struct run *ret_run, struct error *error);
/* The peak of one process in place of the highest one; process_id 0: of the highest one. */
int run_load_peak(struct db *db, struct run *run, int64_t process_id, struct error *error);
/* A command without the folders of its program: "/usr/bin/gcc -c x.c" -> "gcc -c x.c". */
const char *command_short(const char *command);

void run_release(struct run *run); /* harmless when it is all zero */

/* The run's process with this pid (the last of them); 0 for pid 0. -ENOENT: there is none. */
int run_process(struct db *db, const struct run *run, int64_t pid, int64_t *ret_process_id,
		struct error *error);

#endif
