#include "viewer/model/gaps.h"

#include <string.h>

#include "viewer/model/db.h"
#include "viewer/print/format.h"

const char gaps_legend[] =
	"  Allocations and frees within these times are not counted. What is live was listed when\n"
	"  recording went on, so live numbers are right from then on; while it is off they are "
	"those\n"
	"  of when it went off. Of blocks that were never recorded the size is known, rounded up, "
	"but\n"
	"  not the call stack. Peaks are those of the times in between.\n";

const char *gaps_nothing(const struct run *run)
{
	if (!run->gaps_open || run->events || run->gaps > run->gaps_open)
		return NULL;
	if (!strcmp(run->state, "running"))
		return "nothing yet: it was started dormant; 'heaptape resume' switches recording "
		       "on";
	return "nothing: it was started dormant, and nobody switched recording on with 'heaptape "
	       "resume'";
}

const char *gaps_text(const struct run *run)
{
	if (!run->gaps)
		return NULL;
	if (run->gaps_open && !strcmp(run->state, "running"))
		return "recording is off at the moment ('heaptape resume' switches it on)";
	if (run->gaps_open)
		return "recording was off at the end: what is live is as of when it went off";
	return "recording was off for a time: what happened then is not counted";
}

static const struct column columns[] = {
	{ "pid", "Process", CELL_PLAIN, 0 },
	{ "process_id", "process_id", CELL_PLAIN, COLUMN_DATA },
	{ "from_ns", "From", CELL_DURATION, 0 },
	{ "to_ns", "To", CELL_DURATION, 0 },
	{ "known_blocks", "Blocks before", CELL_COUNT, 0 },
	{ "known_bytes", "known_bytes", CELL_BYTES, COLUMN_DATA },
	{ "kept_blocks", "Still live", CELL_COUNT, 0 },
	{ "kept_bytes", "kept_bytes", CELL_BYTES, COLUMN_DATA },
	{ "listed_blocks", "Blocks after", CELL_COUNT, 0 },
	{ "listed_bytes", "Bytes after", CELL_BYTES, 0 },
	{ "complete", "complete", CELL_PLAIN, COLUMN_DATA },
	{ "list", "List", CELL_TEXT, COLUMN_SCREEN },
};

struct table *gaps_table(sqlite3 *db, const struct run *run, int64_t most)
{
	struct table *table = table_new(columns, sizeof(columns) / sizeof(*columns));
	sqlite3_stmt *row =
		db_query(db,
			 "SELECT pid, process_id, from_ns, to_ns, known_blocks, known_bytes, "
			 "kept_blocks, kept_bytes, listed_blocks, listed_bytes, complete FROM gaps "
			 "JOIN processes USING (process_id) WHERE run_id = ? ORDER BY from_ns "
			 "LIMIT iif(?2, ?2, -1)",
			 "ii", run->run_id, most);

	while (db_next(row)) {
		bool ended = sqlite3_column_type(row, 3) != SQLITE_NULL;

		for (int i = 0; i < 11; i++) {
			/* What was known before is noted as it ends, and what was found as well. */
			if (sqlite3_column_type(row, i) == SQLITE_NULL ||
			    (!ended && i > 5 && i < 10))
				table_null(table);
			else
				table_number(table, sqlite3_column_int64(row, i));
		}
		table_text(table, !ended			? "recording is off"
				  : sqlite3_column_int(row, 10) ? "complete"
								: "not complete");
	}
	return table;
}
