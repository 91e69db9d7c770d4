/*
 * Modules, frames and stacks have ids in the database, shared by all runs and by all daemons that
 * write to it. This is the way to an id: a cache in memory, else the database, else a new row. A
 * cache that is full is emptied: it only saves time.
 */
#ifndef HEAPTAPE_DAEMON_STACKS_H
#define HEAPTAPE_DAEMON_STACKS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/writer.h"

/* An open-addressing table of (two words) -> id. */
struct id_cache {
	struct id_entry {
		uint64_t a, b;
		uint32_t id; /* 0: empty */
	} * entries;
	uint32_t size, used;
};

struct stacks {
	struct writer *writer;
	struct id_cache frames; /* (module, offset) */
	struct id_cache trees;	/* (parent stack, frame) */
	uint64_t failures;
	uint64_t frames_added;	/* rows without names yet */
	uint64_t commits;	/* when these were added: */
	int64_t first_stack_id; /* the first of the open transaction; 0 none */
};

void stacks_init(struct stacks *stacks, struct writer *writer);
void stacks_release(struct stacks *stacks);

/* When the open transaction has just been undone: stacks with this id, or a higher one, are no more. */
int64_t stacks_undone(struct stacks *stacks);

/* Each gives an id > 0, or a negative errno when the database cannot be written. */
int64_t stacks_module(struct stacks *stacks, const char *path, const char *build_id);
int64_t stacks_frame(struct stacks *stacks, int64_t module_id, uint64_t offset);
int64_t stacks_stack(struct stacks *stacks, int64_t parent_stack_id, int64_t frame_id,
		     unsigned depth, bool by_frame_pointer);

#endif
