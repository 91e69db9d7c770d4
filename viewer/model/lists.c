#include "viewer/model/lists.h"

#include <stdio.h>
#include <string.h>

#define OF_RUN "(SELECT process_id FROM processes WHERE run_id = ?1)"
#define FIELD(struct_name, member, type, from)                            \
	{                                                                 \
#member, type, offsetof(struct struct_name, member), from \
	}

#define PROCESS(member, type) FIELD(process_row, member, type, 0)

const struct row_field process_fields[] = { PROCESS(process_id, ROW_NUMBER),
					    PROCESS(pid, ROW_NUMBER),
					    PROCESS(parent_process_id, ROW_NUMBER),
					    PROCESS(started_ns, ROW_NUMBER),
					    PROCESS(duration_ns, ROW_NUMBER),
					    PROCESS(ending, ROW_TEXT),
					    PROCESS(exit_code, ROW_NUMBER),
					    PROCESS(exit_signal, ROW_NUMBER),
					    PROCESS(events, ROW_NUMBER),
					    PROCESS(lost_events, ROW_NUMBER),
					    PROCESS(allocations, ROW_NUMBER),
					    PROCESS(allocated_bytes, ROW_NUMBER),
					    PROCESS(peak_bytes, ROW_NUMBER),
					    PROCESS(peak_ns, ROW_NUMBER),
					    PROCESS(live_blocks, ROW_NUMBER),
					    PROCESS(live_bytes, ROW_NUMBER),
					    PROCESS(executable, ROW_TEXT),
					    PROCESS(command, ROW_TEXT),
					    PROCESS(title, ROW_TEXT_OR_NULL),
					    PROCESS(shown, ROW_TEXT),
					    PROCESS(forked, ROW_NUMBER),
					    PROCESS(unrecorded_reason, ROW_TEXT_OR_NULL),
					    FIELD(process_row, end, ROW_TEXT, ROW_DERIVED),
					    FIELD(process_row, short_command, ROW_TEXT,
						  ROW_DERIVED),
					    ROW_END };

static void process_derive(void *row)
{
	struct process_row *process = row;
	int64_t number = process->exit_signal == UNKNOWN ? 0 : process->exit_signal;
	const char *name = number > 0 ? sigabbrev_np((int)number) : NULL;
	int64_t code = process->exit_code == UNKNOWN ? 0 : process->exit_code;

	process->end = process->end_text;
	if (name)
		snprintf(process->end_text, sizeof(process->end_text), "SIG%s", name);
	else if (number > 0)
		snprintf(process->end_text, sizeof(process->end_text), "SIG%lld",
			 (long long)number);
	else if (!strcmp(process->ending, "exited"))
		snprintf(process->end_text, sizeof(process->end_text), "%lld", (long long)code);
	else
		process->end = process->ending;
	process->short_command = command_short(process->shown);
}

#define PROCESS_COLUMNS                                                                          \
	"process_id, pid, parent_process_id, started_ns, ended_ns - started_ns AS duration_ns, " \
	"ending, exit_code, exit_signal, events, lost_events, allocations, allocated_bytes, "    \
	"peak_bytes, peak_ns, live_blocks, live_bytes, executable, command, title, "             \
	"coalesce(title, command) AS shown, forked, unrecorded_reason"

int processes_open(struct rows *ret_rows, struct db *db, const struct run *run, int64_t most,
		   struct error *error)
{
	int result = rows_open(ret_rows, db, process_fields, 0, error,
			       "SELECT " PROCESS_COLUMNS
			       " FROM processes WHERE process_id IN (SELECT process_id FROM "
			       "processes WHERE run_id = ?1 AND (NOT ?2 OR unrecorded_reason IS "
			       "NULL) ORDER BY allocations DESC, process_id LIMIT iif(?2, ?2, -1)) "
			       "ORDER BY started_ns, process_id",
			       "ii", run->run_id, most);

	if (!result)
		ret_rows->derive = process_derive;
	return result;
}

int unrecorded_open(struct rows *ret_rows, struct db *db, const struct run *run, int64_t most,
		    struct error *error)
{
	int result =
		rows_open(ret_rows, db, process_fields, 0, error,
			  "SELECT " PROCESS_COLUMNS
			  " FROM processes WHERE run_id = ?1 AND unrecorded_reason IS NOT NULL "
			  "ORDER BY started_ns, process_id LIMIT iif(?2, ?2, -1)",
			  "ii", run->run_id, most);

	if (!result)
		ret_rows->derive = process_derive;
	return result;
}

const struct row_field unrecorded_kind_fields[] = {
	FIELD(unrecorded_kind, programs, ROW_COUNT, 0),
	FIELD(unrecorded_kind, command, ROW_TEXT, 0),
	FIELD(unrecorded_kind, unrecorded_reason, ROW_TEXT, 0), ROW_END
};

int unrecorded_kinds_open(struct rows *ret_rows, struct db *db, const struct run *run,
			  struct error *error)
{
	return rows_open(ret_rows, db, unrecorded_kind_fields, 0, error,
			 "SELECT count(*) AS programs, command, unrecorded_reason FROM processes "
			 "WHERE run_id = ? AND unrecorded_reason IS NOT NULL "
			 "GROUP BY executable, unrecorded_reason ORDER BY 1 DESC",
			 "i", run->run_id);
}

#define THREAD(member, type) FIELD(thread_row, member, type, 0)

const struct row_field thread_fields[] = { THREAD(thread_id, ROW_NUMBER),
					   THREAD(process_id, ROW_NUMBER),
					   THREAD(number, ROW_NUMBER),
					   THREAD(tid, ROW_NUMBER),
					   THREAD(name, ROW_TEXT),
					   THREAD(started_ns, ROW_NUMBER),
					   THREAD(ended_ns, ROW_NUMBER),
					   THREAD(events, ROW_NUMBER),
					   THREAD(lost_events, ROW_NUMBER),
					   THREAD(allocations, ROW_NUMBER),
					   THREAD(allocated_bytes, ROW_NUMBER),
					   THREAD(frees, ROW_NUMBER),
					   THREAD(freed_bytes, ROW_NUMBER),
					   ROW_END };

int threads_open(struct rows *ret_rows, struct db *db, const struct run *run, int64_t most,
		 struct error *error)
{
	return rows_open(ret_rows, db, thread_fields, 0, error,
			 "SELECT thread_id, process_id, number, tid, name, started_ns, ended_ns, "
			 "events, lost_events, allocations, allocated_bytes, frees, freed_bytes "
			 "FROM threads WHERE process_id IN " OF_RUN
			 " ORDER BY allocations DESC, thread_id LIMIT iif(?2, ?2, -1)",
			 "ii", run->run_id, most);
}

int threads_count(struct db *db, const struct run *run, int64_t *ret_count, struct error *error)
{
	return rows_number(ret_count, db, error,
			   "SELECT count(*) AS number FROM threads JOIN processes "
			   "USING (process_id) WHERE run_id = ?",
			   "i", run->run_id);
}

const struct row_field size_fields[] = {
	FIELD(size_row, up_to_bytes, ROW_COUNT, 0),	FIELD(size_row, allocations, ROW_COUNT, 0),
	FIELD(size_row, allocated_bytes, ROW_COUNT, 0), FIELD(size_row, live_blocks, ROW_COUNT, 0),
	FIELD(size_row, live_bytes, ROW_COUNT, 0),	ROW_END
};

int sizes_open(struct rows *ret_rows, struct db *db, const struct run *run, struct error *error)
{
	return rows_open(ret_rows, db, size_fields, 0, error,
			 "SELECT up_to_bytes, total(allocations) AS allocations, "
			 "total(allocated_bytes) AS allocated_bytes, total(live_blocks) AS "
			 "live_blocks, total(live_bytes) AS live_bytes FROM size_histogram "
			 "WHERE process_id IN " OF_RUN " GROUP BY up_to_bytes ORDER BY up_to_bytes",
			 "i", run->run_id);
}

const struct row_field stack_cut_fields[] = { FIELD(stack_cut_row, process_id, ROW_COUNT, 0),
					      FIELD(stack_cut_row, reason, ROW_TEXT, 0),
					      FIELD(stack_cut_row, stacks, ROW_COUNT, 0), ROW_END };

int stack_cuts_open(struct rows *ret_rows, struct db *db, const struct run *run,
		    struct error *error)
{
	return rows_open(ret_rows, db, stack_cut_fields, 0, error,
			 "SELECT process_id, reason, stacks FROM stack_cuts "
			 "WHERE process_id IN " OF_RUN " ORDER BY 1, 3 DESC",
			 "i", run->run_id);
}

int stack_cut_reasons_open(struct rows *ret_rows, struct db *db, const struct run *run,
			   struct error *error)
{
	return rows_open(ret_rows, db, stack_cut_fields, 0, error,
			 "SELECT 0 AS process_id, reason, sum(stacks) AS stacks FROM stack_cuts "
			 "WHERE process_id IN " OF_RUN " GROUP BY reason ORDER BY 3 DESC",
			 "i", run->run_id);
}

int stacks_by_frame_pointer(struct db *db, const struct run *run, int64_t *ret_allocations,
			    struct error *error)
{
	return rows_number(
		ret_allocations, db, error,
		"WITH RECURSIVE beyond(stack_id) AS (SELECT stack_id FROM stacks WHERE "
		"by_frame_pointer UNION SELECT s.stack_id FROM beyond b JOIN stacks s ON "
		"s.parent_stack_id = b.stack_id) SELECT total(allocations) AS number FROM "
		"stack_totals WHERE stack_id IN beyond AND process_id IN " OF_RUN,
		"i", run->run_id);
}

#define GAP(member, type) FIELD(gap_row, member, type, 0)

const struct row_field gap_fields[] = { GAP(pid, ROW_NUMBER),
					GAP(process_id, ROW_NUMBER),
					GAP(from_ns, ROW_NUMBER),
					GAP(to_ns, ROW_NUMBER),
					GAP(known_blocks, ROW_NUMBER),
					GAP(known_bytes, ROW_NUMBER),
					GAP(kept_blocks, ROW_NUMBER),
					GAP(kept_bytes, ROW_NUMBER),
					GAP(listed_blocks, ROW_NUMBER),
					GAP(listed_bytes, ROW_NUMBER),
					GAP(complete, ROW_NUMBER),
					FIELD(gap_row, list, ROW_TEXT, ROW_DERIVED),
					ROW_END };

/* What was known before is noted as the gap ends, and what was found as well. */
static void gap_derive(void *row)
{
	struct gap_row *gap = row;

	if (gap->to_ns == UNKNOWN) {
		gap->kept_blocks = gap->kept_bytes = UNKNOWN;
		gap->listed_blocks = gap->listed_bytes = UNKNOWN;
		gap->list = "recording is off";
	} else {
		gap->list =
			gap->complete == UNKNOWN || !gap->complete ? "not complete" : "complete";
	}
}

int gaps_open(struct rows *ret_rows, struct db *db, const struct run *run, int64_t most,
	      struct error *error)
{
	int result = rows_open(ret_rows, db, gap_fields, 0, error,
			       "SELECT pid, process_id, from_ns, to_ns, known_blocks, known_bytes, "
			       "kept_blocks, kept_bytes, listed_blocks, listed_bytes, complete "
			       "FROM gaps JOIN processes USING (process_id) WHERE run_id = ? "
			       "ORDER BY from_ns LIMIT iif(?2, ?2, -1)",
			       "ii", run->run_id, most);

	if (!result)
		ret_rows->derive = gap_derive;
	return result;
}

const struct row_field note_fields[] = { FIELD(note_row, text, ROW_TEXT, 0), ROW_END };

int notes_open(struct rows *ret_rows, struct db *db, const struct run *run, int64_t most,
	       struct error *error)
{
	return rows_open(ret_rows, db, note_fields, 0, error,
			 "SELECT text FROM notes WHERE run_id = ? ORDER BY rowid "
			 "LIMIT iif(?2, ?2, -1)",
			 "ii", run->run_id, most);
}
