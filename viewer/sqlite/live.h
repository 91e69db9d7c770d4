/* The set of live blocks while events are replayed: one open-addressing table. */
#ifndef HEAPTAPE_VIEWER_SQLITE_LIVE_H
#define HEAPTAPE_VIEWER_SQLITE_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct live_block {
	uint64_t address; /* 0: an empty place */
	uint64_t at_ns;	  /* allocated; with the address it names one allocation */
	uint64_t size_bytes, usable_bytes;
	uint32_t stack_id, thread;
	uint32_t gap; /* gaps that had ended when it was last seen live */
};

struct live_set {
	struct live_block *blocks;
	size_t mask, used;
};

/* -ENOMEM, or 0. */
int live_add(struct live_set *set, const struct live_block *block);

/* Takes out the block at `address` allocated at `at_ns` (EVENT_TIME_UNKNOWN: at any time). */
bool live_remove(struct live_set *set, uint64_t address, uint64_t at_ns);

void live_clear(struct live_set *set); /* empty, memory released */

#endif
