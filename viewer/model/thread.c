#include "viewer/model/thread.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/model/rows.h"
#include "viewer/pattern.h"

struct thread_name_row {
	int64_t thread_id, tid;
	const char *name;
};

static const struct row_field fields[] = {
	{ "thread_id", ROW_COUNT, offsetof(struct thread_name_row, thread_id), 0 },
	{ "tid", ROW_COUNT, offsetof(struct thread_name_row, tid), 0 },
	{ "name", ROW_TEXT, offsetof(struct thread_name_row, name), 0 },
	ROW_END
};

int thread_select(struct db *db, const struct run *run, const char *text, char **ret_ids,
		  struct error *error)
{
	bool number = *text && !text[strspn(text, "0123456789")];
	int64_t tid = number ? strtoll(text, NULL, 10) : 0;
	struct thread_name_row row;
	struct rows rows;
	size_t bytes;
	char *ids = NULL;
	FILE *list;
	int result = rows_open(&rows, db, fields, 0, error,
			       "SELECT thread_id, tid, name FROM threads JOIN processes "
			       "USING (process_id) WHERE run_id = ?",
			       "i", run->run_id);

	if (result)
		return result;
	list = memory_stream(&ids, &bytes);
	while ((result = rows_next(&rows, &row, error)) > 0)
		if (number ? row.tid == tid : pattern_matches(text, row.name))
			fprintf(list, "%s%" PRId64, ftell(list) > 0 ? "," : "", row.thread_id);
	memory_stream_end(list);
	if (!result && !*ids)
		result = error_set(error, -ENOENT,
				   "run %" PRId64 " has no thread '%s'; the table 'threads' lists "
				   "them",
				   run->run_id, text);
	if (result)
		free(ids);
	else
		*ret_ids = ids;
	return result;
}
