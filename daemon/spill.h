/*
 * Batches that wait for their turn and find no room in memory: their columns lie in a temporary file
 * beside the database, which has no name and is gone with the process's record.
 */
#ifndef HEAPTAPE_DAEMON_SPILL_H
#define HEAPTAPE_DAEMON_SPILL_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/batch.h"

struct spill {
	bool tried;
	int fd;	       /* once it was tried; -1: it cannot be had */
	uint64_t end;  /* bytes in use, from the start on */
	uint64_t left; /* batches that lie there */
};

/* Writes out what is left of a batch, to a file beside `path`. Returns a batch without columns that
 * stands for it from now on, or NULL: no room there either. `batch` is the caller's still. */
struct batch *spill_put(struct spill *spill, const char *path, const struct batch *batch);

/* Reads the columns of a batch of spill_put() back, into slabs of its own. False: they are lost. */
bool spill_get(struct spill *spill, struct batch *batch);

void spill_release(struct spill *spill);

#endif
