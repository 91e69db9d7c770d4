#include "viewer/model/run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"

#define FIELD(name, type, member, from)                        \
	{                                                      \
		name, type, offsetof(struct run, member), from \
	}
#define TEXT(member) FIELD(#member, ROW_COPY, member, RUN_ROW)
#define NUMBER(member) FIELD(#member, ROW_NUMBER, member, RUN_ROW)
#define SUM(member) FIELD(#member, ROW_COUNT, member, RUN_SUMS)

const struct row_field run_fields[] = {
	FIELD("run_id", ROW_NUMBER, run_id, ROW_DERIVED),
	FIELD("duration_ns", ROW_NUMBER, duration_ns, ROW_DERIVED),
	FIELD("short_command", ROW_TEXT, short_command, ROW_DERIVED),
	FIELD("ending", ROW_TEXT, ending, ROW_DERIVED),
	TEXT(label),
	TEXT(command),
	TEXT(cwd),
	TEXT(host),
	TEXT(state),
	TEXT(version),
	TEXT(settings),
	TEXT(socket),
	NUMBER(started_at),
	NUMBER(ended_at),
	NUMBER(exit_code),
	NUMBER(exit_signal),
	NUMBER(user_ns),
	NUMBER(system_ns),
	NUMBER(max_rss_bytes),
	SUM(processes),
	SUM(running),
	FIELD("unrecorded_processes", ROW_COUNT, unrecorded, RUN_SUMS),
	SUM(execs),
	SUM(events),
	SUM(lost_events),
	SUM(foreign_frees),
	SUM(cut_stacks),
	SUM(wait_ns),
	SUM(late_events),
	SUM(allocations),
	SUM(allocated_bytes),
	SUM(frees),
	SUM(freed_bytes),
	SUM(reallocations),
	SUM(failed),
	SUM(temporary),
	SUM(preexisting_frees),
	SUM(inherited_frees),
	SUM(live_blocks),
	SUM(live_bytes),
	SUM(peak_held_bytes),
	SUM(peak_rss_bytes),
	SUM(last_ns),
	FIELD("peak_process_id", ROW_COUNT, peak_process_id, RUN_PEAK),
	FIELD("peak_pid", ROW_COUNT, peak_pid, RUN_PEAK),
	FIELD("peak_bytes", ROW_COUNT, peak_bytes, RUN_PEAK),
	FIELD("peak_blocks", ROW_COUNT, peak_blocks, RUN_PEAK),
	FIELD("peak_ns", ROW_NUMBER, peak_ns, RUN_PEAK),
	FIELD("foreign_path", ROW_COPY, foreign_path, RUN_FOREIGN),
	FIELD("foreign_symbols", ROW_COUNT, foreign_symbols, RUN_FOREIGN),
	FIELD("foreign_programs", ROW_COUNT, foreign_programs, RUN_FOREIGN),
	FIELD("gaps", ROW_COUNT, gaps, RUN_GAPS),
	FIELD("gaps_open", ROW_COUNT, gaps_open, RUN_GAPS),
	FIELD("stored_bytes", ROW_COUNT, chunk_bytes, RUN_STORED),
	ROW_END
};

/* N of "last" and "last~N"; -1 for anything else. */
static int64_t last_offset(const char *name)
{
	char *end;
	long long offset;

	if (!strcmp(name, "last"))
		return 0;
	if (strncmp(name, "last~", 5) != 0 || name[5] < '0' || name[5] > '9')
		return -1;
	offset = strtoll(name + 5, &end, 10);
	return *end ? -1 : offset;
}

int run_find(struct db *db, const char *name, int64_t *ret_run_id, struct error *error)
{
	int64_t offset = last_offset(name), run_id = 0;
	int result = 0;

	if (offset >= 0)
		return rows_number(ret_run_id, db, error,
				   "SELECT run_id AS number FROM runs ORDER BY run_id DESC "
				   "LIMIT 1 OFFSET ?",
				   "i", offset);
	if (*name && strspn(name, "0123456789") == strlen(name))
		result = rows_number(&run_id, db, error,
				     "SELECT run_id AS number FROM runs "
				     "WHERE run_id = CAST(? AS INTEGER)",
				     "s", name);
	if (!result && !run_id && *name)
		result = rows_number(&run_id, db, error,
				     "SELECT run_id AS number FROM runs WHERE label = ? "
				     "ORDER BY run_id DESC LIMIT 1",
				     "s", name);
	if (!result)
		*ret_run_id = run_id;
	return result;
}

int run_select(struct db *db, const char *name, int64_t *ret_run_id, struct error *error)
{
	int64_t runs = 0, run_id = 0;
	int result;

	name = name ? name : "last";
	result = rows_number(&runs, db, error, "SELECT count(*) AS number FROM runs", "");
	if (!result && !runs)
		return error_set(error, -ENOENT,
				 "no run is recorded in '%s' yet. Record one: heaptape run PROGRAM",
				 db->path);
	if (!result)
		result = run_find(db, name, &run_id, error);
	if (result)
		return result;
	if (!run_id && last_offset(name) >= 0)
		return error_set(error, -ENOENT, "there is no run '%s': '%s' holds %" PRId64 " %s",
				 name, db->path, runs, runs == 1 ? "run" : "runs");
	if (!run_id)
		return error_set(error, -ENOENT,
				 "there is no run '%s' in '%s'. 'heaptape runs' lists what there "
				 "is.",
				 name, db->path);
	*ret_run_id = run_id;
	return 0;
}

int run_load_peak(struct db *db, struct run *run, int64_t process_id, struct error *error)
{
	int result = rows_one(
		run, db, run_fields, RUN_PEAK, error,
		"SELECT process_id AS peak_process_id, pid AS peak_pid, peak_bytes, peak_blocks, "
		"peak_ns FROM processes "
		"WHERE run_id = ?1 AND ?2 IN (0, process_id) AND unrecorded_reason IS NULL "
		"ORDER BY peak_bytes DESC, process_id LIMIT 1",
		"ii", run->run_id, process_id);

	return result < 0 ? result : 0;
}

#define OF_RUN "(SELECT process_id FROM processes WHERE run_id = ?1)"

static const struct {
	enum run_source from;
	const char *sql;
} statements[] = {
	{ RUN_ROW, "SELECT label, command, cwd, host, state, version, settings, socket, "
		   "started_at, ended_at, exit_code, exit_signal, user_ns, system_ns, "
		   "max_rss_bytes FROM runs WHERE run_id = ?1" },
	{ RUN_SUMS,
	  "SELECT total(unrecorded_reason IS NULL) AS processes, "
	  "total(ending = 'running') AS running, total(events) AS events, "
	  "total(lost_events) AS lost_events, total(foreign_frees) AS foreign_frees, "
	  "total(cut_stacks) AS cut_stacks, total(wait_ns) AS wait_ns, "
	  "total(late_events) AS late_events, total(allocations) AS allocations, "
	  "total(allocated_bytes) AS allocated_bytes, total(frees) AS frees, "
	  "total(freed_bytes) AS freed_bytes, total(reallocations) AS reallocations, "
	  "total(failed) AS failed, total(temporary) AS temporary, "
	  "total(preexisting_frees) AS preexisting_frees, "
	  "total(preexisting_frees * forked) AS inherited_frees, "
	  "total(unrecorded_reason IS NOT NULL) AS unrecorded_processes, "
	  "total(ending = 'exec' AND unrecorded_reason IS NULL) AS execs, "
	  "total(live_blocks) AS live_blocks, total(live_bytes) AS live_bytes, "
	  "max(peak_held_bytes) AS peak_held_bytes, max(peak_rss_bytes) AS peak_rss_bytes, "
	  "max(ended_ns) AS last_ns FROM processes WHERE run_id = ?1" },
	{ RUN_FOREIGN,
	  "SELECT foreign_path, foreign_symbols, (SELECT count(DISTINCT foreign_path) "
	  "FROM processes WHERE run_id = ?1 AND foreign_symbols) AS foreign_programs "
	  "FROM processes WHERE run_id = ?1 AND foreign_symbols ORDER BY process_id LIMIT 1" },
	{ RUN_GAPS, "SELECT count(*) AS gaps, total(to_ns IS NULL) AS gaps_open FROM gaps "
		    "WHERE process_id IN " OF_RUN },
	{ RUN_STORED, "SELECT total(length(blob)) AS stored_bytes FROM chunks "
		      "WHERE process_id IN " OF_RUN },
};

const char *command_short(const char *command)
{
	const char *name = command;

	if (*command != '/' && *command != '.')
		return command;
	for (const char *at = command; *at && *at != ' '; at++)
		if (*at == '/' && at[1] && at[1] != ' ')
			name = at + 1;
	return name;
}

/* How it ended; what is not complete says so. */
static char *ending_of(const struct run *run)
{
	const char *name = run->exit_signal > 0 ? sigabbrev_np((int)run->exit_signal) : NULL;
	bool torn = !strcmp(run->state, "cut") || !strcmp(run->state, "incomplete");
	char number[32] = "?";

	if (run->exit_signal > 0 && !name)
		snprintf(number, sizeof(number), "signal %" PRId64, run->exit_signal);
	else if (run->exit_code != UNKNOWN)
		snprintf(number, sizeof(number), "%" PRId64, run->exit_code);
	if (!strcmp(run->state, "running"))
		return memory_copy("running");
	return memory_print("%s%s%s%s", name ? "SIG" : "", name ? name : number, torn ? ", " : "",
			    torn ? run->state : "");
}

static int64_t run_duration(const struct run *run)
{
	if (run->ended_at != UNKNOWN)
		return run->ended_at - run->started_at;
	return run->last_ns ? run->last_ns : UNKNOWN;
}

static int run_fill(struct db *db, struct run *run, struct error *error)
{
	int64_t sampled_ns = 0;
	int result = 0;

	for (size_t i = 0; i < sizeof(statements) / sizeof(*statements) && result >= 0; i++)
		result = rows_one(run, db, run_fields, (int)statements[i].from, error,
				  statements[i].sql, "i", run->run_id);
	if (result >= 0 && !run->state)
		return error_set(error, -ENOENT, "there is no run %" PRId64 " in '%s'", run->run_id,
				 db->path);
	if (result >= 0)
		result = run_load_peak(db, run, 0, error);
	if (result >= 0 && run->ended_at == UNKNOWN)
		result = rows_number(&sampled_ns, db, error,
				     "SELECT max(at_ns) AS number FROM samples "
				     "WHERE process_id IN " OF_RUN,
				     "i", run->run_id);
	if (sampled_ns > run->last_ns)
		run->last_ns = sampled_ns;
	if (result < 0)
		return result;
	run->duration_ns = run_duration(run);
	run->short_command = command_short(run->command);
	run->ending = ending_of(run);
	return 0;
}

int run_load(struct db *db, int64_t run_id, struct run *ret_run, struct error *error)
{
	struct run run = { .run_id = run_id, .peak_ns = UNKNOWN };
	int result = run_fill(db, &run, error);

	if (result)
		run_release(&run);
	else
		*ret_run = run;
	return result;
}

int run_process(struct db *db, const struct run *run, int64_t pid, int64_t *ret_process_id,
		struct error *error)
{
	int64_t process_id = 0;
	int result = 0;

	if (pid)
		result = rows_number(&process_id, db, error,
				     "SELECT max(process_id) AS number FROM processes "
				     "WHERE run_id = ? AND pid = ?",
				     "ii", run->run_id, pid);
	if (!result && pid && !process_id)
		return error_set(error, -ENOENT, "run %" PRId64 " has no process %" PRId64,
				 run->run_id, pid);
	if (!result)
		*ret_process_id = process_id;
	return result;
}

void run_release(struct run *run)
{
	free(run->label);
	free(run->command);
	free(run->cwd);
	free(run->host);
	free(run->state);
	free(run->version);
	free(run->settings);
	free(run->foreign_path);
	free(run->socket);
	free(run->ending);
	*run = (struct run){ 0 };
}
