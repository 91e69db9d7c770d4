/*
 * A run as the reports see it: which one is meant, its row, and its processes added up.
 */
#ifndef HEAPTAPE_VIEWER_MODEL_RUN_H
#define HEAPTAPE_VIEWER_MODEL_RUN_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#define UNKNOWN INT64_MIN

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
	int64_t last_ns; /* the end of its last process, or its last sample */
};

/* The run meant by a number, a label, "last" (also NULL) or "last~N"; dies when there is none. */
int64_t run_select(sqlite3 *db, const char *name);

/* The same; 0 when there is none. */
int64_t run_find(sqlite3 *db, const char *name);

void run_load(sqlite3 *db, int64_t run_id, struct run *ret_run);
/* The peak of one process in place of the highest one; process_id 0: of the highest one. */
void run_load_peak(sqlite3 *db, struct run *run, int64_t process_id);
/* The run's process with this pid (the last of them); 0 for pid 0; dies when there is none. */
int64_t run_process(sqlite3 *db, const struct run *run, int64_t pid);
void run_release(struct run *run);

/* Says that there is a malloc of the program's own; foreign_symbols is not 0. */
const char *run_foreign(const struct run *run);

/* "exited with 0", "killed by SIGSEGV", "is running" */
const char *run_ending(const struct run *run);

/* A command without the folders of its program: "/usr/bin/gcc -c x.c" -> "gcc -c x.c". */
const char *command_short(const char *command);

/* Duration so far; UNKNOWN when nothing says. */
int64_t run_duration(const struct run *run);

#endif
