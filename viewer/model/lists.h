/*
 * The lists of a run's parts. Each has a struct, a table of its fields, and a function that opens its rows
 * (rows.h). `most` 0: all of them.
 */
#ifndef HEAPTAPE_VIEWER_MODEL_LISTS_H
#define HEAPTAPE_VIEWER_MODEL_LISTS_H

#include <stdint.h>

#include "viewer/model/rows.h"
#include "viewer/model/run.h"

/* A process, or one of the programs that a process has been. */
struct process_row {
	int64_t process_id, pid, parent_process_id, started_ns, duration_ns;
	int64_t exit_code, exit_signal, events, lost_events;
	int64_t allocations, allocated_bytes, peak_bytes, peak_ns, live_blocks, live_bytes;
	int64_t forked;
	const char *ending, *executable, *command, *title, *unrecorded_reason;
	const char *shown;	   /* title, else command */
	const char *short_command; /* `shown` without the folders of its program */
	char end_text[32];
	const char *end; /* "0", "SIGKILL", "exec", "running" */
};
extern const struct row_field process_fields[];
/* In order of time, recorded or not; with `most` only recorded ones with the most allocations. */
int processes_open(struct rows *ret_rows, struct db *db, const struct run *run, int64_t most,
		   struct error *error);
/* Programs of which nothing is recorded. */
int unrecorded_open(struct rows *ret_rows, struct db *db, const struct run *run, int64_t most,
		    struct error *error);

/* The same programs by executable and reason, the most frequent first. */
struct unrecorded_kind {
	int64_t programs;
	const char *command, *unrecorded_reason;
};
extern const struct row_field unrecorded_kind_fields[];
int unrecorded_kinds_open(struct rows *ret_rows, struct db *db, const struct run *run,
			  struct error *error);

struct thread_row {
	int64_t thread_id, process_id, number, tid, started_ns, ended_ns, events, lost_events;
	int64_t allocations, allocated_bytes, frees, freed_bytes;
	const char *name;
};
extern const struct row_field thread_fields[];
/* Those with the most allocations first. */
int threads_open(struct rows *ret_rows, struct db *db, const struct run *run, int64_t most,
		 struct error *error);
int threads_count(struct db *db, const struct run *run, int64_t *ret_count, struct error *error);

/* Sizes as the store counts them, ascending. */
struct size_row {
	int64_t up_to_bytes, allocations, allocated_bytes, live_blocks, live_bytes;
};
extern const struct row_field size_fields[];
int sizes_open(struct rows *ret_rows, struct db *db, const struct run *run, struct error *error);

/* Why stacks were cut short, and how often. */
struct stack_cut_row {
	int64_t process_id, stacks;
	const char *reason;
};
extern const struct row_field stack_cut_fields[];
int stack_cuts_open(struct rows *ret_rows, struct db *db, const struct run *run,
		    struct error *error);
/* The same by reason, processes added up; process_id is 0. */
int stack_cut_reasons_open(struct rows *ret_rows, struct db *db, const struct run *run,
			   struct error *error);
/* Allocations whose stacks lead through code without unwind data, but do not end there. */
int stacks_by_frame_pointer(struct db *db, const struct run *run, int64_t *ret_allocations,
			    struct error *error);

/* A time when a process was not recorded. */
struct gap_row {
	int64_t pid, process_id, from_ns, to_ns; /* to_ns UNKNOWN: it goes on */
	int64_t known_blocks, known_bytes, kept_blocks, kept_bytes, listed_blocks, listed_bytes;
	int64_t complete;
	const char *list; /* whether the list of live blocks is complete, in words */
};
extern const struct row_field gap_fields[];
/* In order of time. */
int gaps_open(struct rows *ret_rows, struct db *db, const struct run *run, int64_t most,
	      struct error *error);

/* What the recording notes about itself, in order. */
struct note_row {
	const char *text;
};
extern const struct row_field note_fields[];
int notes_open(struct rows *ret_rows, struct db *db, const struct run *run, int64_t most,
	       struct error *error);

#endif
