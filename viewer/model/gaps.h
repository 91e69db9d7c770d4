/* Times when a run was not recorded: `run --dormant`, `pause`. */
#ifndef HEAPTAPE_VIEWER_MODEL_GAPS_H
#define HEAPTAPE_VIEWER_MODEL_GAPS_H

#include <stdbool.h>

#include "viewer/model/run.h"
#include "viewer/print/table.h"

/* Recording was never on; what to do about that, as a sentence. NULL: it was. */
const char *gaps_nothing(const struct run *run);

/* A sentence for the summary; NULL: recording was on all the time. */
const char *gaps_text(const struct run *run);

/* A row for each process and gap, in order of time; only the first `most` (0: all). */
struct table *gaps_table(sqlite3 *db, const struct run *run, int64_t most);

/* How the numbers of a run with gaps are to be read. */
extern const char gaps_legend[];

#endif
