/* How the program misused its heap: the list in a run's summary and report. */
#ifndef HEAPTAPE_VIEWER_MODEL_MISUSES_H
#define HEAPTAPE_VIEWER_MODEL_MISUSES_H

#include <sqlite3.h>
#include <stdio.h>

#include "viewer/print/json.h"
#include "viewer/model/profile.h"

int64_t misuses_count(sqlite3 *db, const struct run *run);

/* Each with its stacks; `most` of them. Nothing when there are none. */
void misuses_print(FILE *out, sqlite3 *db, const struct run *run, const struct profile *profile,
		   int64_t most);

/* Array "misuses"; stacks as arrays of "function file:line", innermost first. */
void misuses_json(struct json *json, sqlite3 *db, const struct run *run,
		  const struct profile *profile);

#endif
