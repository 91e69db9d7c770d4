/* The marks of a run: moments that have a name (table marks). */
#ifndef HEAPTAPE_VIEWER_MODEL_MARKS_H
#define HEAPTAPE_VIEWER_MODEL_MARKS_H

#include <stddef.h>
#include <stdint.h>

#include "viewer/model/db.h"
#include "viewer/model/rows.h"
#include "viewer/model/run.h"

struct mark {
	int64_t mark_id;
	int64_t process_id; /* whose program set it; UNKNOWN: set from outside, of the whole run */
	int64_t at_ns;
	char *label;
	int64_t processes, missing; /* running then; of those, with live blocks not all listed */
	int64_t live_blocks, live_bytes;
};

extern const struct row_field mark_fields[];

struct marks {
	struct mark *list; /* by time */
	size_t count;
};

int marks_load(struct db *db, int64_t run_id, struct marks *ret_marks, struct error *error);
void marks_release(struct marks *marks);

/* When the run's latest mark of that label was; -1: there is none. */
int mark_find(struct db *db, int64_t run_id, const char *label, int64_t *ret_at_ns,
	      struct error *error);

/*
 * Sets a mark afterwards: the live numbers are those of the events. `label` NULL: 'mark 1' and so on; the
 * label that it got is in *ret_mark. db_register() comes first; the database is opened once more to write.
 */
int mark_add(struct db *db, const struct run *run, int64_t at_ns, const char *label,
	     struct mark *ret_mark, struct error *error);
void mark_release(struct mark *mark);

#endif
