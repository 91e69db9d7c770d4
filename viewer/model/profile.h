/*
 * What a run allocated, by call stack: stack totals, the stacks' tree and their frames in memory.
 * Ids index the arrays directly; entry 0 is "unknown".
 */
#ifndef HEAPTAPE_VIEWER_MODEL_PROFILE_H
#define HEAPTAPE_VIEWER_MODEL_PROFILE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "viewer/model/run.h"

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
	size_t next_live; /* where profile_add_live() looks first */
	int64_t sums[METRIC_COUNT];
	size_t pending; /* call sites whose names are still being looked up */
};

/* A walk never takes more steps than this, whatever the file says. */
#define PROFILE_DEPTH_MAX 4096

/* process_id 0: all of the run. */
void profile_load(sqlite3 *db, const struct run *run, int64_t process_id,
		  struct profile *ret_profile);
/* Other live numbers than those at the end, or now. */
void profile_clear_live(struct profile *profile);
void profile_add_live(struct profile *profile, int64_t stack_id, int64_t blocks, int64_t bytes);
void profile_release(struct profile *profile);

/* The stack's frames, inlined ones included, innermost first; returns how many. */
size_t profile_frames(const struct profile *profile, uint32_t stack, uint32_t *frames, size_t room);

/* The frame that tells most: the innermost that is neither an allocator's nor a library's, else the
 * innermost that is no allocator's. 0 when the stack is unknown. */
uint32_t profile_site(const struct profile *profile, uint32_t stack);

/* "parse_value", "libfoo.so+0x1234"; good until FORMAT_RING others. For long names a heap copy
 * is not needed: the text is the frame's own. */
const char *frame_name(const struct profile *profile, uint32_t frame);
/* "json.c:88", "" when not known; `whole_path`: with the folders. */
const char *frame_place(const struct profile *profile, uint32_t frame, bool whole_path);
/* "json.c" */
const char *frame_file(const struct profile *profile, uint32_t frame);
/* Both, as a heap copy: "parse_value json.c:88". */
char *frame_text(const struct profile *profile, uint32_t frame);

/* What is the same for the function in every build of the program, as a heap copy. */
char *frame_key(const struct profile *profile, uint32_t frame);

/* One line per frame, indented, as a heap copy. */
char *stack_lines(const struct profile *profile, uint32_t stack, int indent);

#endif
