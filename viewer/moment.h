/* A moment of a run as people name it: a snapshot's label, or a time since the run began. */
#ifndef HEAPTAPE_VIEWER_MOMENT_H
#define HEAPTAPE_VIEWER_MOMENT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/* "12.5s", "300 ms", "2min"; a number alone is nanoseconds. False: it is no time. */
bool moment_parse(const char *text, int64_t *ret_ns);

/* Nanoseconds since the run began; dies when there is no such moment. */
int64_t moment_select(sqlite3 *db, int64_t run_id, const char *name);

#endif
