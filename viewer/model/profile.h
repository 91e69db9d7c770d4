/*
 * What a run allocated, by call stack: stack totals, the stacks' tree and their frames in memory.
 * Ids index the arrays directly; entry 0 is "unknown".
 */
#ifndef HEAPTAPE_VIEWER_MODEL_PROFILE_H
#define HEAPTAPE_VIEWER_MODEL_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "viewer/model/run.h"
#include "viewer/model/wrappers.h"

/* Columns of stack_totals, in its order. Peak values are those of the run's peak process: moments
 * of different processes do not add up to a moment. */
enum metric {
	METRIC_ALLOCATIONS,
	METRIC_ALLOCATED_BYTES,
	METRIC_FREES,
	METRIC_FREED_BYTES,
	METRIC_TEMPORARY,
	METRIC_PEAK_BLOCKS,
	METRIC_PEAK_BYTES,
	METRIC_LIVE_BLOCKS,
	METRIC_LIVE_BYTES,
	METRIC_COUNT
};

struct module {
	char *path;	  /* "" unknown */
	const char *name; /* its last part */
	char *key;    /* the same in other builds: without a version, the run's program has "" */
	bool shim;    /* heaptape's own */
	bool made;    /* no file: code made at run time (a perf map may name it) */
	bool runtime; /* the C or C++ library, the dynamic linker */
};

struct frame {
	uint32_t module;
	uint32_t outer; /* frame it is inlined into; 0: none */
	uint64_t offset;
	char *function; /* NULL: not known */
	char *name_key; /* NULL: it is `function` */
	char *file;	/* NULL: not known */
	int32_t line;
	bool pending;	/* its function is still being looked up */
	bool allocator; /* malloc, operator new, allocator classes: not the program's own doing */
	bool library;	/* by its file */
	const char *plumbing; /* what only passes calls on it is part of; NULL: it does more */
};

struct stack_node {
	uint32_t parent;
	uint32_t frame;
};

struct total {
	uint32_t stack;
	int64_t values[METRIC_COUNT];
};

struct profile {
	struct module *modules;
	struct frame *frames;
	struct stack_node *stacks;
	size_t module_count, frame_count, stack_count; /* ids are below these */
	struct total *totals;			       /* one per stack, processes added up */
	size_t total_count;
	size_t next_live; /* where live.c looks first */
	int64_t sums[METRIC_COUNT];
	size_t pending; /* call sites whose names are still being looked up */
};

/* A walk never takes more steps than this, whatever the file says. */
#define PROFILE_DEPTH_MAX 4096

/* process_id 0: all of the run. */
int profile_load(struct db *db, const struct run *run, int64_t process_id,
		 const struct wrappers *wrappers, struct profile *ret_profile, struct error *error);
void profile_release(struct profile *profile); /* harmless when it is all zero */

/* Stacks and trees are shown with every frame (frame_fold() folds nothing). */
void profile_unfold(struct profile *profile);

/* A stack's index; 0 when the profile has no such stack. */
uint32_t profile_stack(const struct profile *profile, int64_t stack_id);

/* The stack's frames, inlined ones included, innermost first; returns how many. */
size_t profile_frames(const struct profile *profile, uint32_t stack, uint32_t *frames, size_t room);

/* The frame that tells most: the innermost that is neither an allocator's nor a library's, else the
 * innermost that is no allocator's. 0 when the stack is unknown. */
uint32_t profile_site(const struct profile *profile, uint32_t stack);

#endif
