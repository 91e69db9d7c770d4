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
#include "proto/statement.h"
#include "proto/store.h"

/* Statements, with what they bind by name (proto/statement.h): its column's, where there is one.
 *  NAME  SQL */
#define WRITER_STATEMENTS(ROW)                                                                     \
	ROW(RUN_ADD,                                                                               \
	    "INSERT INTO runs(label, command, cwd, host, started_at, state, version, settings, "   \
	    "recorder, socket) VALUES(:label, :command, :cwd, :host, :started_at, 'running', "     \
	    ":version, :settings, :recorder, :socket)")                                            \
	ROW(RUN_PROGRAM,                                                                           \
	    "UPDATE runs SET exit_code=:exit_code, exit_signal=:exit_signal, user_ns=:user_ns, "   \
	    "system_ns=:system_ns, max_rss_bytes=:max_rss_bytes WHERE run_id=:run_id")             \
	/* A program that nobody waited for: the run ended as its first process did. */            \
	ROW(RUN_END,                                                                               \
	    "UPDATE runs SET state=:state, ended_at=:ended_at, (exit_code, exit_signal) = "        \
	    "(SELECT "                                                                             \
	    "coalesce(runs.exit_code, iif(runs.exit_signal IS NULL, p.exit_code, NULL)), "         \
	    "coalesce(runs.exit_signal, iif(runs.exit_code IS NULL, p.exit_signal, NULL)) "        \
	    "FROM (SELECT 1) LEFT JOIN processes p ON p.run_id=:run_id AND p.pid = (SELECT pid "   \
	    "FROM processes WHERE run_id=:run_id ORDER BY process_id LIMIT 1) ORDER BY "           \
	    "p.process_id DESC LIMIT 1) WHERE run_id=:run_id")                                     \
	ROW(RUN_UNENDED, "SELECT count(*) AS processes FROM processes WHERE run_id=:run_id AND "   \
			 "ending='running'")                                                       \
	ROW(PROCESS_ADD,                                                                           \
	    "INSERT INTO processes(run_id, parent_process_id, pid, executable, command, "          \
	    "started_ns, ending, forked, foreign_symbols, foreign_path, unrecorded_reason) "       \
	    "VALUES(:run_id, :parent_process_id, :pid, :executable, :command, :started_ns, "       \
	    "'running', :forked, :foreign_symbols, :foreign_path, :unrecorded_reason)")            \
	ROW(UNRECORDED_ADD,                                                                        \
	    "INSERT INTO processes(run_id, parent_process_id, pid, executable, command, "          \
	    "started_ns, ending, unrecorded_reason) VALUES(:run_id, :parent_process_id, :pid, "    \
	    ":executable, :command, :started_ns, 'running', :unrecorded_reason)")                  \
	ROW(UNRECORDED_REMOVE, "DELETE FROM processes WHERE process_id=:process_id")               \
	ROW(PROCESS_SET,                                                                           \
	    "UPDATE processes SET events=:events, lost_events=:lost_events, "                      \
	    "foreign_frees=:foreign_frees, cut_stacks=:cut_stacks, wait_ns=:wait_ns, "             \
	    "allocations=:allocations, allocated_bytes=:allocated_bytes, frees=:frees, "           \
	    "freed_bytes=:freed_bytes, reallocations=:reallocations, failed=:failed, "             \
	    "temporary=:temporary, preexisting_frees=:preexisting_frees, "                         \
	    "live_blocks=:live_blocks, live_bytes=:live_bytes, peak_blocks=:peak_blocks, "         \
	    "peak_bytes=:peak_bytes, peak_ns=:peak_ns, held_bytes=:held_bytes, "                   \
	    "peak_held_bytes=:peak_held_bytes, peak_rss_bytes=:peak_rss_bytes, "                   \
	    "late_events=:late_events WHERE process_id=:process_id")                               \
	ROW(PROCESS_FOREIGN,                                                                       \
	    "UPDATE processes SET foreign_symbols=max(foreign_symbols, :foreign_symbols), "        \
	    "foreign_path=iif(foreign_path='', :foreign_path, foreign_path) "                      \
	    "WHERE process_id=:process_id")                                                        \
	ROW(PROCESS_TITLE, "UPDATE processes SET title=:title WHERE process_id=:process_id")       \
	ROW(CUT_SET, "INSERT OR REPLACE INTO stack_cuts(process_id, reason, stacks) "              \
		     "VALUES(:process_id, :reason, :stacks)")                                      \
	ROW(PROCESS_END,                                                                           \
	    "UPDATE processes SET ended_ns=:ended_ns, ending=:ending, exit_code=:exit_code, "      \
	    "exit_signal=:exit_signal WHERE process_id=:process_id")                               \
	ROW(PROCESS_STATUS,                                                                        \
	    "UPDATE processes SET ending=:ending, exit_code=:exit_code, exit_signal=:exit_signal " \
	    "WHERE run_id=:run_id AND pid=:pid AND ending='vanished'")                             \
	ROW(THREAD_SET,                                                                            \
	    "INSERT INTO threads(process_id, number, tid, name, started_ns, ended_ns, events, "    \
	    "lost_events, allocations, allocated_bytes, frees, freed_bytes) VALUES(:process_id, "  \
	    ":number, :tid, :name, :started_ns, :ended_ns, :events, :lost_events, :allocations, "  \
	    ":allocated_bytes, :frees, :freed_bytes) ON CONFLICT(process_id, number) DO UPDATE "   \
	    "SET name=:name, ended_ns=:ended_ns, events=:events, lost_events=:lost_events, "       \
	    "allocations=:allocations, allocated_bytes=:allocated_bytes, frees=:frees, "           \
	    "freed_bytes=:freed_bytes")                                                            \
	ROW(MODULE_FIND,                                                                           \
	    "SELECT module_id AS module_id FROM modules WHERE path=:path AND build_id=:build_id")  \
	ROW(MODULE_ADD, "INSERT INTO modules(path, build_id) VALUES(:path, :build_id)")            \
	ROW(MAPPING_ADD,                                                                           \
	    "INSERT INTO mappings(process_id, module_id, base, start, end, mapped_ns) "            \
	    "VALUES(:process_id, :module_id, :base, :start, :end, :mapped_ns)")                    \
	ROW(MAPPING_END,                                                                           \
	    "UPDATE mappings SET unmapped_ns=:unmapped_ns WHERE process_id=:process_id AND "       \
	    "start=:start AND unmapped_ns IS NULL")                                                \
	ROW(FRAME_FIND, "SELECT frame_id AS frame_id FROM frames WHERE module_id=:module_id AND "  \
			"offset=:offset AND inline_depth=0")                                       \
	ROW(FRAME_PENDING,                                                                         \
	    "SELECT frame_id AS frame_id FROM frames WHERE module_id=:module_id AND "              \
	    "symbol_state='pending' LIMIT 1")                                                      \
	ROW(FRAME_ADD, "INSERT INTO frames(module_id, offset) VALUES(:module_id, :offset)")        \
	ROW(STACK_FIND,                                                                            \
	    "SELECT stack_id AS stack_id FROM stacks WHERE parent_stack_id=:parent_stack_id AND "  \
	    "frame_id=:frame_id")                                                                  \
	ROW(STACK_ADD, "INSERT INTO stacks(parent_stack_id, frame_id, depth, by_frame_pointer) "   \
		       "VALUES(:parent_stack_id, :frame_id, :depth, :by_frame_pointer)")           \
	ROW(TOTAL_SET,                                                                             \
	    "INSERT INTO stack_totals(process_id, stack_id, allocations, allocated_bytes, frees, " \
	    "freed_bytes, temporary, peak_blocks, peak_bytes, live_blocks, live_bytes) "           \
	    "VALUES(:process_id, :stack_id, :allocations, :allocated_bytes, :frees, "              \
	    ":freed_bytes, :temporary, :peak_blocks, :peak_bytes, :live_blocks, :live_bytes) "     \
	    "ON CONFLICT(process_id, stack_id) DO UPDATE SET allocations=:allocations, "           \
	    "allocated_bytes=:allocated_bytes, frees=:frees, freed_bytes=:freed_bytes, "           \
	    "temporary=:temporary, peak_blocks=:peak_blocks, peak_bytes=:peak_bytes, "             \
	    "live_blocks=:live_blocks, live_bytes=:live_bytes")                                    \
	ROW(SIZE_SET,                                                                              \
	    "INSERT OR REPLACE INTO size_histogram(process_id, up_to_bytes, allocations, "         \
	    "allocated_bytes, live_blocks, live_bytes) VALUES(:process_id, :up_to_bytes, "         \
	    ":allocations, :allocated_bytes, :live_blocks, :live_bytes)")                          \
	ROW(SAMPLE_SET,                                                                            \
	    "INSERT OR REPLACE INTO samples(process_id, at_ns, live_blocks, live_bytes, "          \
	    "held_bytes, rss_bytes, allocations, frees) VALUES(:process_id, :at_ns, "              \
	    ":live_blocks, :live_bytes, :held_bytes, :rss_bytes, :allocations, :frees)")           \
	ROW(SAMPLE_REMOVE, "DELETE FROM samples WHERE process_id=:process_id AND at_ns=:at_ns")    \
	ROW(GAP_SET,                                                                               \
	    "INSERT OR REPLACE INTO gaps(process_id, from_ns, to_ns, known_blocks, known_bytes, "  \
	    "kept_blocks, kept_bytes, listed_blocks, listed_bytes, complete) VALUES(:process_id, " \
	    ":from_ns, :to_ns, :known_blocks, :known_bytes, :kept_blocks, :kept_bytes, "           \
	    ":listed_blocks, :listed_bytes, :complete)")                                           \
	ROW(MARK_ADD,                                                                              \
	    "INSERT INTO marks(run_id, process_id, at_ns, processes, missing, live_blocks, "       \
	    "live_bytes, label) VALUES(:run_id, :process_id, :at_ns, :processes, :missing, "       \
	    ":live_blocks, :live_bytes, iif(:label <> '', :label, 'mark ' || (SELECT count(*) + "  \
	    "1 "                                                                                   \
	    "FROM marks WHERE run_id = :run_id)))")                                                \
	ROW(MARK_LABEL, "SELECT label AS label FROM marks WHERE mark_id=:mark_id")                 \
	ROW(CHUNK_REMOVE, "DELETE FROM chunks WHERE chunk_id=:chunk_id")                           \
	ROW(MISUSE_ADD,                                                                            \
	    "INSERT INTO misuses(process_id, at_ns, thread, kind, address, block_address, "        \
	    "size_bytes, allocated_stack_id, freed_stack_id, stack_id, text) VALUES(:process_id, " \
	    ":at_ns, :thread, :kind, :address, :block_address, :size_bytes, :allocated_stack_id, " \
	    ":freed_stack_id, :stack_id, :text)")                                                  \
	ROW(NOTE_ADD,                                                                              \
	    "INSERT INTO notes(run_id, process_id, at_ns, text) VALUES(:run_id, :process_id, "     \
	    ":at_ns, :text)")

/* All names in them. clang-format off */
#define WRITER_NAMES(N)                                                                                             \
	N(label)                                                                                                    \
	N(command) N(cwd) N(host) N(started_at) N(version) N(settings) N(recorder) N(socket) N(exit_code) N(        \
		exit_signal) N(user_ns) N(system_ns) N(max_rss_bytes) N(run_id) N(state) N(ended_at)                \
		N(parent_process_id) N(pid) N(executable) N(started_ns) N(forked) N(foreign_symbols) N(             \
			foreign_path) N(unrecorded_reason) N(process_id) N(events) N(lost_events)                   \
			N(foreign_frees) N(cut_stacks) N(wait_ns) N(allocations) N(allocated_bytes) N(              \
				frees) N(freed_bytes) N(reallocations) N(failed) N(temporary) N(preexisting_frees)  \
				N(live_blocks) N(live_bytes) N(peak_blocks) N(peak_bytes) N(peak_ns) N(             \
					held_bytes) N(peak_held_bytes) N(peak_rss_bytes) N(late_events)             \
					N(title) N(reason) N(stacks) N(ended_ns) N(ending) N(number) N(             \
						tid) N(name) N(path) N(build_id) N(module_id) N(base)               \
						N(start) N(end) N(mapped_ns) N(unmapped_ns) N(offset) N(            \
							parent_stack_id) N(frame_id) N(depth) N(by_frame_pointer)   \
							N(stack_id) N(up_to_bytes) N(at_ns) N(rss_bytes) N(         \
								from_ns) N(to_ns) N(known_blocks) N(known_bytes)    \
								N(kept_blocks) N(kept_bytes) N(                     \
									listed_blocks) N(listed_bytes)              \
									N(complete) N(processes) N(                 \
										missing) N(mark_id) N(chunk_id)     \
										N(thread) N(kind) N(                \
											address) N(block_address)   \
											N(size_bytes) N(            \
												allocated_stack_id) \
												N(freed_stack_id)   \
													N(text)
/* clang-format on */

enum writer_name {
#define N(name) P_##name,
	WRITER_NAMES(N)
#undef N
		P_COUNT
};

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
	struct statement statements[SQL_COUNT];
	struct statement put_chunk;
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

/* A statement to bind values to, inside the transaction; NULL when the writer has failed. All of the
 * following take NULL for what it is. */
struct statement *writer_statement(struct writer *writer, enum writer_statement which);

/* Integers: any number of { P_column, value }. */
#define writer_bind(to, ...)                                 \
	do {                                                 \
		struct statement *bound_ = (to);             \
		if (bound_)                                  \
			statement_bind(bound_, __VA_ARGS__); \
	} while (0)
/* NULL unless `known`. */
void writer_bind_known(struct statement *statement, enum writer_name name, bool known,
		       uint64_t value);
/* A text that is there until the statement has run; NULL: "". */
void writer_bind_text(struct statement *statement, enum writer_name name, const char *text);

/* Runs a statement that returns no rows. 0 or negative errno (failed, or a NULL statement). */
int writer_run(struct writer *writer, struct statement *statement);

/* Runs a statement that adds a row. Its id, or a negative errno. */
int64_t writer_add(struct writer *writer, struct statement *statement);

/* Runs a statement and gives a column of its first row; 0 when there is no row. */
int writer_find(struct writer *writer, struct statement *statement, enum writer_name name,
		int64_t *ret_value);

/* The same for a text; "" when there is no row. */
int writer_text(struct writer *writer, struct statement *statement, enum writer_name name, char *to,
		size_t room);

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
