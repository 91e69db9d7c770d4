/*
 * The daemon's one connection to the database: statements prepared once, and one transaction that
 * opens with the first change after a commit. Everything written between two commits appears
 * together. Other daemons may write to the same file, so a transaction is never kept open long.
 *
 * When a write fails (disk full, ...) the open transaction is undone and the writer has `failed`:
 * statements are NULL from then on, until writer_retry().
 */
#ifndef HEAPTAPE_DAEMON_WRITER_H
#define HEAPTAPE_DAEMON_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/recorder.h"
#include "proto/store.h"

/*      NAME              SQL */
#define WRITER_STATEMENTS(ROW)                                                                     \
	ROW(RUN_ADD, "INSERT INTO runs(label, command, cwd, host, started_at, state, version, "    \
		     "settings, recorder, socket) VALUES(?,?,?,?,?,'running',?,?,?,?)")            \
	ROW(RUN_PROGRAM, "UPDATE runs SET exit_code=?2, exit_signal=?3, user_ns=?4, "              \
			 "system_ns=?5, max_rss_bytes=?6 WHERE run_id=?1")                         \
	/* A program that nobody waited for: the run ended as its first process did. */            \
	ROW(RUN_END,                                                                               \
	    "UPDATE runs SET state=?2, ended_at=?3, (exit_code, exit_signal) = (SELECT "           \
	    "coalesce(runs.exit_code, iif(runs.exit_signal IS NULL, p.exit_code, NULL)), "         \
	    "coalesce(runs.exit_signal, iif(runs.exit_code IS NULL, p.exit_signal, NULL)) "        \
	    "FROM (SELECT 1) LEFT JOIN processes p ON p.run_id=?1 AND p.pid = (SELECT pid FROM "   \
	    "processes WHERE run_id=?1 ORDER BY process_id LIMIT 1) ORDER BY p.process_id DESC "   \
	    "LIMIT 1) WHERE run_id=?1")                                                            \
	ROW(RUN_UNENDED, "SELECT count(*) FROM processes WHERE run_id=? AND ending='running'")     \
	ROW(PROCESS_ADD, "INSERT INTO processes(run_id, parent_process_id, pid, executable, "      \
			 "command, started_ns, ending, forked, foreign_symbols, foreign_path, "    \
			 "unrecorded_reason) VALUES(?1,?2,?3,?4,?5,?6,'running',?7,?8,?9,?10)")    \
	ROW(UNRECORDED_ADD, "INSERT INTO processes(run_id, parent_process_id, pid, executable, "   \
			    "command, started_ns, ending, unrecorded_reason) "                     \
			    "VALUES(?1,?2,?3,?4,?5,?6,'running',?7)")                              \
	ROW(UNRECORDED_REMOVE, "DELETE FROM processes WHERE process_id=?1")                        \
	ROW(PROCESS_SET,                                                                           \
	    "UPDATE processes SET events=?2, lost_events=?3, foreign_frees=?4, cut_stacks=?5, "    \
	    "wait_ns=?6, allocations=?7, allocated_bytes=?8, frees=?9, freed_bytes=?10, "          \
	    "reallocations=?11, failed=?12, temporary=?13, preexisting_frees=?14, "                \
	    "live_blocks=?15, live_bytes=?16, peak_blocks=?17, peak_bytes=?18, peak_ns=?19, "      \
	    "held_bytes=?20, peak_held_bytes=?21, peak_rss_bytes=?22, late_events=?23 "            \
	    "WHERE process_id=?1")                                                                 \
	ROW(PROCESS_FOREIGN, "UPDATE processes SET foreign_symbols=max(foreign_symbols, ?2), "     \
			     "foreign_path=iif(foreign_path='', ?3, foreign_path) "                \
			     "WHERE process_id=?1")                                                \
	ROW(PROCESS_TITLE, "UPDATE processes SET title=?2 WHERE process_id=?1")                    \
	ROW(CUT_SET, "INSERT OR REPLACE INTO stack_cuts VALUES(?1,?3,?2)")                         \
	ROW(PROCESS_END, "UPDATE processes SET ended_ns=?2, ending=?3, exit_code=?4, "             \
			 "exit_signal=?5 WHERE process_id=?1")                                     \
	ROW(PROCESS_STATUS, "UPDATE processes SET ending=?3, exit_code=?4, exit_signal=?5 "        \
			    "WHERE run_id=?1 AND pid=?2 AND ending='vanished'")                    \
	ROW(THREAD_SET,                                                                            \
	    "INSERT INTO threads(process_id, number, tid, name, started_ns, ended_ns, events, "    \
	    "lost_events, allocations, allocated_bytes, frees, freed_bytes) "                      \
	    "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12) ON CONFLICT(process_id, number) DO "   \
	    "UPDATE SET name=?4, ended_ns=?6, events=?7, lost_events=?8, allocations=?9, "         \
	    "allocated_bytes=?10, frees=?11, freed_bytes=?12")                                     \
	ROW(MODULE_FIND, "SELECT module_id FROM modules WHERE path=? AND build_id=?")              \
	ROW(MODULE_ADD, "INSERT INTO modules(path, build_id) VALUES(?,?)")                         \
	ROW(MAPPING_ADD, "INSERT INTO mappings(process_id, module_id, base, start, end, "          \
			 "mapped_ns) VALUES(?,?,?,?,?,?)")                                         \
	ROW(MAPPING_END, "UPDATE mappings SET unmapped_ns=?3 WHERE process_id=?1 AND start=?2 "    \
			 "AND unmapped_ns IS NULL")                                                \
	ROW(FRAME_FIND, "SELECT frame_id FROM frames WHERE module_id=? AND offset=? AND "          \
			"inline_depth=0")                                                          \
	ROW(FRAME_PENDING, "SELECT frame_id FROM frames WHERE module_id=? AND "                    \
			   "symbol_state='pending' LIMIT 1")                                       \
	ROW(FRAME_ADD, "INSERT INTO frames(module_id, offset) VALUES(?,?)")                        \
	ROW(STACK_FIND, "SELECT stack_id FROM stacks WHERE parent_stack_id=? AND frame_id=?")      \
	ROW(STACK_ADD, "INSERT INTO stacks(parent_stack_id, frame_id, depth, by_frame_pointer) "   \
		       "VALUES(?,?,?,?)")                                                          \
	ROW(TOTAL_SET,                                                                             \
	    "INSERT INTO stack_totals VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11) "                 \
	    "ON CONFLICT(process_id, stack_id) DO UPDATE SET allocations=?3, allocated_bytes=?4, " \
	    "frees=?5, freed_bytes=?6, temporary=?7, peak_blocks=?8, peak_bytes=?9, "              \
	    "live_blocks=?10, live_bytes=?11")                                                     \
	ROW(SIZE_SET, "INSERT OR REPLACE INTO size_histogram VALUES(?,?,?,?,?,?)")                 \
	ROW(SAMPLE_SET, "INSERT OR REPLACE INTO samples VALUES(?,?,?,?,?,?,?,?)")                  \
	ROW(SAMPLE_REMOVE, "DELETE FROM samples WHERE process_id=? AND at_ns=?")                   \
	ROW(GAP_SET, "INSERT OR REPLACE INTO gaps VALUES(?,?,?,?,?,?,?,?,?,?)")                    \
	ROW(SNAPSHOT_ADD,                                                                          \
	    "INSERT INTO snapshots(run_id, at_ns, processes, missing, live_blocks, live_bytes, "   \
	    "label) VALUES(?1,?2,?3,?4,?5,?6,iif(?7 <> '', ?7, 'snapshot ' || (SELECT count(*) "   \
	    "+ 1 FROM snapshots WHERE run_id = ?1)))")                                             \
	ROW(SNAPSHOT_LABEL, "SELECT label FROM snapshots WHERE snapshot_id=?")                     \
	ROW(CHUNK_REMOVE, "DELETE FROM chunks WHERE chunk_id=?")                                   \
	ROW(MISUSE_ADD, "INSERT INTO misuses VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)")          \
	ROW(NOTE_ADD, "INSERT INTO notes(run_id, process_id, at_ns, text) VALUES(?,?,?,?)")

enum writer_statement {
#define ROW(NAME, sql) SQL_##NAME,
	WRITER_STATEMENTS(ROW)
#undef ROW
		SQL_COUNT
};

#define WRITER_PATIENCE_MS 60000u

struct writer {
	sqlite3 *db;
	char *path;
	sqlite3_stmt *statements[SQL_COUNT];
	sqlite3_stmt *put_chunk;
	bool in_transaction;
	bool failed;
	uint64_t began_ns;	/* the open transaction */
	uint64_t busy_since_ns; /* waiting for another program's lock */
	unsigned patience_ms;	/* how long at most, and usually */
	unsigned usual_patience_ms;
	uint64_t commits;	       /* made so far */
	uint64_t failures;	       /* writer_retry() after each */
	char recorder[RECORDER_BYTES]; /* who we are, for runs.recorder */
	int left_runs;		       /* that opening ended, as their daemon was killed */
	int reserve_fd;		       /* disk space set aside for the last words */
	struct store_error error;      /* why it failed */
};

/* Opens or makes the database. */
int writer_open(struct writer *writer, const char *path, struct store_error *ret_error);
/* A file without a name in the folder of `path`; -1: there is none to be had. */
int writer_unnamed_file(const char *path);
void writer_close(struct writer *writer);

/* Opens the transaction if it is not. 0, or negative errno when failed. */
int writer_begin(struct writer *writer);
/* The same for who wants to be told soon; when it fails nothing else has failed. */
int writer_begin_soon(struct writer *writer);

/* Commits what is open. 0 also when nothing is. */
int writer_commit(struct writer *writer);

/* A statement to bind values to, inside the transaction; NULL when the writer has failed. */
sqlite3_stmt *writer_statement(struct writer *writer, enum writer_statement which);

/* Binds integers from parameter `first` on: one array, one statement. */
void writer_bind(sqlite3_stmt *statement, int first, const uint64_t *values, unsigned count);
void writer_bind_text(sqlite3_stmt *statement, int at, const char *text);

/* Runs a statement that returns no rows. 0 or negative errno (failed, or a NULL statement). */
int writer_run(struct writer *writer, sqlite3_stmt *statement);

/* Runs a statement and gives its first row's first column; 0 when there is no row. */
int writer_find(struct writer *writer, sqlite3_stmt *statement, int64_t *ret_value);

/* The same for a text; "" when there is no row. */
int writer_text(struct writer *writer, sqlite3_stmt *statement, char *to, size_t room);

int writer_put_chunk(struct writer *writer, int64_t process_id, const void *blob, size_t bytes,
		     const struct chunk_bounds *bounds, int64_t *ret_chunk_id);

/* Undoes the open transaction and remembers why. */
void writer_fail(struct writer *writer, const char *what);

/* Lets a writer that failed try again, with the reserved disk space given back. */
void writer_retry(struct writer *writer);

/* A line in table notes (run 0: about the file); also on stderr when `loud`. */
void writer_note(struct writer *writer, int64_t run_id, int64_t process_id, uint64_t at_ns,
		 const char *text);

#endif
