/* A moment of a run as people name it: a snapshot's label, or a time since the run began. */
#ifndef HEAPTAPE_VIEWER_MOMENT_H
#define HEAPTAPE_VIEWER_MOMENT_H

#include <sqlite3.h>
#include <stdint.h>

/* Nanoseconds since the run began; dies when there is no such moment. */
int64_t moment_select(sqlite3 *db, int64_t run_id, const char *name);

#endif
