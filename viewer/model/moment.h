/*
 * A moment of a run as people name it: a mark, a time since the run began with its
 * unit ("12.5s"), a percentage of the run ("40%"), "peak" or "end".
 */
#ifndef HEAPTAPE_VIEWER_MODEL_MOMENT_H
#define HEAPTAPE_VIEWER_MODEL_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "viewer/model/run.h"

/* What a command's help says of it; continues "A MOMENT is". */
#define MOMENT_HELP                                                                          \
	"a mark ('heaptape mark'), a time since the run\n"                                   \
	"began such as 12.5s (units: ns, us, ms, s, min, h), a percentage of the run such\n" \
	"as 40%, 'peak' (of the process with the highest) or 'end'."

/* Nanoseconds since the run began, INT64_MAX for "end". -ENOENT: there is no such moment. */
int moment_select(struct db *db, const struct run *run, const char *name, int64_t *ret_at_ns,
		  struct error *error);

/* Whether `name` means a moment by itself, so that no mark may be called so. */
bool moment_is_word(const char *name);

#endif
