/* How the program misused its heap. */
#ifndef HEAPTAPE_VIEWER_MODEL_MISUSES_H
#define HEAPTAPE_VIEWER_MODEL_MISUSES_H

#include <stdint.h>

#include "viewer/model/rows.h"
#include "viewer/model/run.h"

struct misuse_row {
	int64_t pid, at_ns, thread;
	int64_t address, block_address, size_bytes;	      /* UNKNOWN: not known */
	int64_t allocated_stack_id, freed_stack_id, stack_id; /* 0: not known */
	const char *kind, *text;
};
extern const struct row_field misuse_fields[];

/* In order of time; `most` of them. */
int misuses_open(struct rows *ret_rows, struct db *db, const struct run *run, int64_t most,
		 struct error *error);
int misuses_count(struct db *db, const struct run *run, int64_t *ret_count, struct error *error);

#endif
