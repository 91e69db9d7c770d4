#include "viewer/model/marks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"

const struct row_field mark_fields[] = {
	{ "mark_id", ROW_NUMBER, offsetof(struct mark, mark_id), 0 },
	{ "process_id", ROW_NUMBER, offsetof(struct mark, process_id), 0 },
	{ "at_ns", ROW_NUMBER, offsetof(struct mark, at_ns), 0 },
	{ "label", ROW_COPY, offsetof(struct mark, label), 0 },
	{ "processes", ROW_NUMBER, offsetof(struct mark, processes), 0 },
	{ "missing", ROW_NUMBER, offsetof(struct mark, missing), 0 },
	{ "live_blocks", ROW_NUMBER, offsetof(struct mark, live_blocks), 0 },
	{ "live_bytes", ROW_NUMBER, offsetof(struct mark, live_bytes), 0 },
	ROW_END
};

#define MARK_COLUMNS \
	"mark_id, process_id, at_ns, label, processes, missing, live_blocks, live_bytes"

void mark_release(struct mark *mark)
{
	free(mark->label);
	mark->label = NULL;
}

void marks_release(struct marks *marks)
{
	for (size_t i = 0; i < marks->count; i++)
		mark_release(&marks->list[i]);
	free(marks->list);
	*marks = (struct marks){ NULL, 0 };
}

int marks_load(struct db *db, int64_t run_id, struct marks *ret_marks, struct error *error)
{
	struct marks marks = { NULL, 0 };
	size_t capacity = 0;
	struct rows rows;
	int result = rows_open(&rows, db, mark_fields, 0, error,
			       "SELECT " MARK_COLUMNS " FROM marks WHERE run_id = ? "
			       "ORDER BY at_ns, mark_id",
			       "i", run_id);

	while (!result) {
		struct mark mark = { .label = NULL };

		result = rows_next(&rows, &mark, error);
		if (result <= 0)
			break;
		result = 0;
		if (marks.count == capacity) {
			capacity = capacity ? 2 * capacity : 16;
			marks.list = memory_grow(marks.list, capacity * sizeof(*marks.list));
		}
		marks.list[marks.count++] = mark;
	}
	if (result < 0) {
		marks_release(&marks);
		return result;
	}
	*ret_marks = marks;
	return 0;
}

int mark_find(struct db *db, int64_t run_id, const char *label, int64_t *ret_at_ns,
	      struct error *error)
{
	return rows_number(ret_at_ns, db, error,
			   "SELECT coalesce((SELECT at_ns FROM marks WHERE run_id = ? AND "
			   "label = ? ORDER BY at_ns DESC LIMIT 1), -1) AS number",
			   "is", run_id, label);
}

/* What lived at that moment, by the events. */
static int count_live(struct db *db, const struct run *run, struct mark *mark, struct error *error)
{
	static const struct row_field fields[] = {
		{ "live_blocks", ROW_COUNT, offsetof(struct mark, live_blocks), 0 },
		{ "live_bytes", ROW_COUNT, offsetof(struct mark, live_bytes), 0 },
		{ "processes", ROW_COUNT, offsetof(struct mark, processes), 0 },
		ROW_END
	};

	return rows_one(mark, db, fields, 0, error,
			"SELECT count(*) AS live_blocks, sum(size_bytes) AS live_bytes, "
			"(SELECT count(*) FROM processes WHERE run_id = ?1 AND started_ns <= ?2 "
			"AND coalesce(ended_ns, ?2 + 1) > ?2) AS processes FROM allocations "
			"WHERE run_id = ?1 AND coalesce(allocated_at_ns, 0) <= ?2 AND "
			"coalesce(freed_at_ns, ?2 + 1) > ?2",
			"ii", run->run_id, mark->at_ns);
}

static int insert(struct db *writer, int64_t run_id, const char *label, struct mark *mark,
		  struct error *error)
{
	return rows_one(mark, writer, mark_fields, 0, error,
			"INSERT INTO marks(run_id, process_id, at_ns, processes, missing, "
			"live_blocks, live_bytes, label) SELECT ?1, NULL, ?2, ?3, 0, ?4, ?5, "
			"iif(?6 <> '', ?6, 'mark ' || (SELECT count(*) + 1 FROM marks WHERE "
			"run_id = ?1)) RETURNING " MARK_COLUMNS,
			"iiiiis", run_id, mark->at_ns, mark->processes, mark->live_blocks,
			mark->live_bytes, label ? label : "");
}

int mark_add(struct db *db, const struct run *run, int64_t at_ns, const char *label,
	     struct mark *ret_mark, struct error *error)
{
	struct mark mark = { .at_ns = at_ns };
	struct db writer = { NULL, NULL };
	int result = count_live(db, run, &mark, error);

	if (result >= 0)
		result = db_open_to_write(db->path, &writer, error);
	if (!result)
		result = insert(&writer, run->run_id, label, &mark, error);
	db_close(&writer);
	if (result < 0) {
		mark_release(&mark);
		return result;
	}
	*ret_mark = mark;
	return 0;
}
