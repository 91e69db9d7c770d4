/* Misuses of the heap, as a run's summary and report list them. */
#ifndef HEAPTAPE_VIEWER_PRINT_MISUSES_H
#define HEAPTAPE_VIEWER_PRINT_MISUSES_H

#include <stdio.h>

#include "viewer/model/profile.h"
#include "viewer/print/json.h"

/* Each with its stacks; `most` of them. Nothing when there are none. */
int misuses_print(FILE *out, struct db *db, const struct run *run, const struct profile *profile,
		  int64_t most, struct error *error);

/* Array "misuses"; stacks as arrays of "function file:line", innermost first. */
int misuses_json(struct json *json, struct db *db, const struct run *run,
		 const struct profile *profile, struct error *error);

#endif
