/* The threads of a run that --thread means. */
#ifndef HEAPTAPE_VIEWER_MODEL_THREAD_H
#define HEAPTAPE_VIEWER_MODEL_THREAD_H

#include "viewer/model/run.h"

/*
 * Of a thread id (digits) or of a pattern (viewer/pattern.h) that the name matches: their thread_ids, as a
 * heap copy of a list for SQL, "3,7". -ENOENT: there is none.
 */
int thread_select(struct db *db, const struct run *run, const char *text, char **ret_ids,
		  struct error *error);

#endif
