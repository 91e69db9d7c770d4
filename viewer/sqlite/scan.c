/* Finding and opening chunks; see scan.h. */
#include "viewer/sqlite/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

__thread uint64_t scan_chunks_opened;

/* The columns that are read of each table: one list is the query's and names their places. */
#define PROCESS_ROW(COLUMN) COLUMN(process_id) COLUMN(run_id) COLUMN(peak_blocks)
#define THREAD_ROW(COLUMN) COLUMN(number) COLUMN(thread_id)
#define CHUNK_ROW(COLUMN) \
	COLUMN(chunk_id)  \
	COLUMN(thread_low) COLUMN(thread_high) COLUMN(first_ns) COLUMN(last_ns) COLUMN(blob)

#define PLACE(name) PROCESS_##name,
enum { PROCESS_ROW(PLACE) };
#undef PLACE
#define PLACE(name) THREAD_##name,
enum { THREAD_ROW(PLACE) };
#undef PLACE
#define PLACE(name) CHUNK_##name,
enum { CHUNK_ROW(PLACE) };
#undef PLACE

#define TEXT(name) #name ", "
#define SELECT(row) "SELECT " row(TEXT) "NULL " /* a list ends without a comma */

#define CHUNKS_SQL                                                                   \
	SELECT(CHUNK_ROW)                                                            \
	"FROM chunks "                                                               \
	"WHERE process_id = ?1 AND first_ns <= ?2 AND last_ns >= ?3 AND kinds & ?4 " \
	"AND stack_low <= ?5 AND stack_high >= ?6 AND address_low <= ?7 "            \
	"AND address_high >= ?8 AND oldest_ns <= ?9 AND last_ns >= ?10 ORDER BY "

static const char *const statement_sql[SCAN_STATEMENTS] = {
	/* In parentheses: clang takes texts side by side for a comma that was forgotten. */
	[SCAN_PROCESSES] = (SELECT(PROCESS_ROW) "FROM processes WHERE process_id BETWEEN ?1 AND ?2 "
						"AND run_id BETWEEN ?3 AND ?4 ORDER BY "
						"CASE WHEN ?5 THEN -process_id ELSE process_id "
						"END"),
	[SCAN_THREADS] = (SELECT(THREAD_ROW) "FROM threads WHERE process_id = ?1 "
					     "ORDER BY number DESC"),
	[SCAN_CHUNKS] = (CHUNKS_SQL "first_ns, chunk_id"),
	[SCAN_CHUNKS_LATEST_FIRST] = (CHUNKS_SQL "last_ns DESC, chunk_id DESC"),
	[SCAN_GAPS] = "SELECT to_ns FROM gaps WHERE process_id = ?1 AND to_ns IS NOT NULL "
		      "ORDER BY to_ns",
	[SCAN_ANY_GAP] = "SELECT 1 FROM gaps WHERE to_ns IS NOT NULL LIMIT 1",
};

int scan_statement(sqlite3 *db, struct scan_statements *of, enum scan_statement which,
		   sqlite3_stmt **ret_statement)
{
	int rc = SQLITE_OK;

	if (!of->statement[which])
		rc = sqlite3_prepare_v3(db, statement_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
					&of->statement[which], NULL);
	*ret_statement = of->statement[which];
	return rc;
}

void scan_statements_release(struct scan_statements *statements)
{
	for (unsigned i = 0; i < SCAN_STATEMENTS; i++)
		sqlite3_finalize(statements->statement[i]);
	memset(statements, 0, sizeof(*statements));
}

static int fail_sqlite(struct scan *scan, int rc)
{
	sqlite3_free(scan->error);
	scan->error = sqlite3_mprintf("%s", sqlite3_errmsg(scan->db));
	return rc == SQLITE_OK ? SQLITE_ERROR : rc;
}

static int processes_load(struct scan *scan)
{
	sqlite3_stmt *list = NULL;
	unsigned capacity = 0;
	int rc = scan_statement(scan->db, &scan->statements, SCAN_PROCESSES, &list);

	if (rc != SQLITE_OK)
		return fail_sqlite(scan, rc);
	sqlite3_bind_int64(list, 1, scan->filter.process.low);
	sqlite3_bind_int64(list, 2, scan->filter.process.high);
	sqlite3_bind_int64(list, 3, scan->filter.run.low);
	sqlite3_bind_int64(list, 4, scan->filter.run.high);
	sqlite3_bind_int(list, 5, scan->filter.descending);
	while ((rc = sqlite3_step(list)) == SQLITE_ROW) {
		if (scan->process_count == capacity) {
			struct scan_process *more;

			capacity = capacity ? 2 * capacity : 16;
			more = realloc(scan->processes, capacity * sizeof(*more));
			if (!more) {
				rc = SQLITE_NOMEM;
				break;
			}
			scan->processes = more;
		}
		scan->processes[scan->process_count++] =
			(struct scan_process){ sqlite3_column_int64(list, PROCESS_process_id),
					       sqlite3_column_int64(list, PROCESS_run_id),
					       sqlite3_column_int64(list, PROCESS_peak_blocks) };
	}
	if (rc != SQLITE_DONE)
		fail_sqlite(scan, rc);
	sqlite3_reset(list);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int threads_load(struct scan *scan)
{
	sqlite3_stmt *list = NULL;
	int rc = scan_statement(scan->db, &scan->statements, SCAN_THREADS, &list);

	scan->thread_count = 0;
	if (rc != SQLITE_OK)
		return fail_sqlite(scan, rc);
	sqlite3_bind_int64(list, 1, scan->process.process_id);
	while ((rc = sqlite3_step(list)) == SQLITE_ROW) {
		int64_t number = sqlite3_column_int64(list, THREAD_number);

		if (number < 0 || number >= 1 << 24)
			continue;
		if (!scan->thread_count) {
			int64_t *ids = realloc(scan->thread_ids, (size_t)(number + 1) * 8);

			if (!ids) {
				rc = SQLITE_NOMEM;
				break;
			}
			scan->thread_ids = ids;
			scan->thread_count = (unsigned)number + 1;
			memset(ids, 0, (size_t)(number + 1) * 8);
		}
		scan->thread_ids[number] = sqlite3_column_int64(list, THREAD_thread_id);
	}
	if (rc != SQLITE_DONE)
		fail_sqlite(scan, rc);
	sqlite3_reset(list);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* A reader has megabytes of room; a query that looks into a table again and again, for each row of
 * another, would spend its time on getting it. */
#define SPARE_READERS 4
static struct chunk_reader *spare_readers[SPARE_READERS];

struct chunk_reader *scan_reader_take(void)
{
	for (unsigned i = 0; i < SPARE_READERS; i++) {
		struct chunk_reader *reader =
			__atomic_exchange_n(&spare_readers[i], NULL, __ATOMIC_ACQ_REL);

		if (reader)
			return reader;
	}
	return chunk_reader_new();
}

void scan_reader_give(struct chunk_reader *reader)
{
	for (unsigned i = 0; reader && i < SPARE_READERS; i++)
		reader = __atomic_exchange_n(&spare_readers[i], reader, __ATOMIC_ACQ_REL);
	chunk_reader_free(reader);
}

/* SQLite unloads the extension with the last connection that has loaded it. */
__attribute__((destructor)) static void spare_readers_free(void)
{
	for (unsigned i = 0; i < SPARE_READERS; i++)
		chunk_reader_free(__atomic_exchange_n(&spare_readers[i], NULL, __ATOMIC_ACQ_REL));
}

int scan_init(struct scan *scan, sqlite3 *db, struct scan_statements *spare,
	      const struct scan_filter *filter, unsigned wanted)
{
	int rc;

	memset(scan, 0, sizeof(*scan));
	scan->db = db;
	scan->spare = spare;
	scan->statements = *spare;
	memset(spare, 0, sizeof(*spare));
	scan->filter = *filter;
	scan->wanted = wanted;
	scan->reader = scan_reader_take();
	if (!scan->reader)
		return SQLITE_NOMEM;
	rc = processes_load(scan);
	if (rc != SQLITE_OK)
		return rc;
	rc = scan_statement(db, &scan->statements,
			    filter->descending ? SCAN_CHUNKS_LATEST_FIRST : SCAN_CHUNKS,
			    &scan->chunks);
	return rc == SQLITE_OK ? rc : fail_sqlite(scan, rc);
}

/* What another scan has given back meanwhile stays. */
static void give_back(struct scan *scan)
{
	for (unsigned i = 0; scan->spare && i < SCAN_STATEMENTS; i++) {
		sqlite3_stmt **spare = &scan->spare->statement[i];
		sqlite3_stmt *statement = scan->statements.statement[i];

		if (*spare) {
			sqlite3_finalize(statement);
		} else {
			sqlite3_reset(statement);
			*spare = statement;
		}
	}
}

void scan_release(struct scan *scan)
{
	give_back(scan);
	scan_reader_give(scan->reader);
	free(scan->processes);
	free(scan->thread_ids);
	sqlite3_free(scan->error);
	memset(scan, 0, sizeof(*scan));
}

/* Whether a thread of the wanted ids can have events in the current chunk. */
static bool threads_match(const struct scan *scan)
{
	int64_t low = sqlite3_column_int64(scan->chunks, CHUNK_thread_low);
	int64_t high = sqlite3_column_int64(scan->chunks, CHUNK_thread_high);

	if (range_is_all(scan->filter.thread_id))
		return true;
	if (high >= scan->thread_count) /* a thread without a row: id 0 */
		return true;
	for (int64_t number = low < 0 ? 0 : low; number <= high; number++)
		if (in_range(scan->filter.thread_id, scan->thread_ids[number]))
			return true;
	return false;
}

int scan_decode_chunk(struct scan *scan, struct chunk_reader *reader,
		      struct chunk_columns *ret_columns)
{
	const void *blob = sqlite3_column_blob(scan->chunks, CHUNK_blob);
	int bytes = sqlite3_column_bytes(scan->chunks, CHUNK_blob);
	int error;

	scan->found = false;
	scan->opened++;
	scan_chunks_opened++;
	error = chunk_reader_decode(reader, blob ? blob : "", (size_t)bytes, scan->wanted,
				    ret_columns);
	if (!error)
		return SQLITE_ROW;
	sqlite3_free(scan->error);
	scan->error = sqlite3_mprintf("chunk %lld of process %lld: %s", scan->chunk_id,
				      scan->process.process_id, chunk_reader_error(reader));
	return error == -ENOMEM ? SQLITE_NOMEM : SQLITE_CORRUPT_VTAB;
}

int scan_next_process(struct scan *scan)
{
	const struct scan_filter *filter = &scan->filter;
	int rc;

	if (scan->process_next == scan->process_count)
		return SQLITE_DONE;
	scan->process = scan->processes[scan->process_next++];
	scan_rewind_process(scan);
	sqlite3_bind_int64(scan->chunks, 1, scan->process.process_id);
	sqlite3_bind_int64(scan->chunks, 2, filter->at_ns.high);
	sqlite3_bind_int64(scan->chunks, 3, filter->at_ns.low);
	sqlite3_bind_int64(scan->chunks, 4, filter->kinds);
	sqlite3_bind_int64(scan->chunks, 5, filter->stack.high);
	sqlite3_bind_int64(scan->chunks, 6, filter->stack.low);
	sqlite3_bind_int64(scan->chunks, 7, filter->address.high);
	sqlite3_bind_int64(scan->chunks, 8, filter->address.low);
	sqlite3_bind_int64(scan->chunks, 9, filter->known_ns.high);
	sqlite3_bind_int64(scan->chunks, 10, filter->known_ns.low);
	rc = threads_load(scan);
	return rc == SQLITE_OK ? SQLITE_ROW : rc;
}

void scan_rewind_process(struct scan *scan)
{
	sqlite3_reset(scan->chunks);
	scan->found = false;
	scan->through = false;
}

int scan_find_chunk(struct scan *scan)
{
	int rc = SQLITE_ROW;

	if (scan->through)
		return SQLITE_DONE;
	while (!scan->found && (rc = sqlite3_step(scan->chunks)) == SQLITE_ROW)
		scan->found = threads_match(scan);
	if (rc == SQLITE_ROW) {
		scan->chunk_id = sqlite3_column_int64(scan->chunks, CHUNK_chunk_id);
		scan->chunk_first_ns = sqlite3_column_int64(scan->chunks, CHUNK_first_ns);
		scan->chunk_last_ns = sqlite3_column_int64(scan->chunks, CHUNK_last_ns);
		return rc;
	}
	scan->through = true;
	return rc == SQLITE_DONE ? rc : fail_sqlite(scan, rc);
}

int scan_next_chunk(struct scan *scan)
{
	int rc = scan_find_chunk(scan);

	return rc == SQLITE_ROW ? scan_decode_chunk(scan, scan->reader, &scan->columns) : rc;
}
