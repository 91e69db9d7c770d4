/* What was live at another moment than the run's end, or has come since a moment. */
#ifndef HEAPTAPE_VIEWER_MODEL_LIVE_H
#define HEAPTAPE_VIEWER_MODEL_LIVE_H

#include <stdint.h>

#include "viewer/model/profile.h"

/*
 * Puts into the profile, as its live blocks and bytes, what was live at `at_ns` (INT64_MAX: at the end)
 * and had been allocated after `since_ns` (-1: whenever), by one of `threads` (thread.h; NULL: any). *ret_ageless: blocks left out because nobody
 * knows when they were allocated. db_register() comes first. After an error the profile's live numbers
 * are undefined.
 */
int live_load(struct db *db, const struct run *run, int64_t process_id, const char *threads,
	      int64_t since_ns, int64_t at_ns, struct profile *profile, int64_t *ret_ageless,
	      struct error *error);

#endif
