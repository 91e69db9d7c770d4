#include "viewer/model/run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/command/cli.h"
#include "viewer/model/db.h"
#include "viewer/print/format.h"

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

int64_t run_find(sqlite3 *db, const char *name)
{
	int64_t offset = last_offset(name), run_id = 0;

	if (offset >= 0)
		return db_number(db,
				 "SELECT run_id FROM runs ORDER BY run_id DESC LIMIT 1 OFFSET ?",
				 "i", offset);
	if (*name && strspn(name, "0123456789") == strlen(name))
		run_id = db_number(db, "SELECT run_id FROM runs WHERE run_id = CAST(? AS INTEGER)",
				   "s", name);
	if (!run_id && *name)
		run_id = db_number(db,
				   "SELECT run_id FROM runs WHERE label = ? "
				   "ORDER BY run_id DESC LIMIT 1",
				   "s", name);
	return run_id;
}

int64_t run_select(sqlite3 *db, const char *name)
{
	int64_t runs = db_number(db, "SELECT count(*) FROM runs", ""), run_id;

	if (!runs)
		die("no run is recorded in '%s' yet. Record one: heaptape run PROGRAM",
		    cli_database());
	name = name ? name : "last";
	run_id = run_find(db, name);
	if (!run_id && last_offset(name) >= 0)
		die("there is no run '%s': '%s' holds %s", name, cli_database(),
		    format_plural(runs, "run", "runs"));
	if (!run_id)
		die("there is no run '%s' in '%s'. 'heaptape runs' lists what there is.", name,
		    cli_database());
	return run_id;
}

static void run_load_row(sqlite3 *db, struct run *run)
{
	sqlite3_stmt *row =
		db_query(db,
			 "SELECT label, command, cwd, host, state, version, settings, socket, "
			 "started_at, ended_at, exit_code, exit_signal, user_ns, system_ns, "
			 "max_rss_bytes FROM runs WHERE run_id = ?",
			 "i", run->run_id);
	char **texts[] = { &run->label, &run->command, &run->cwd,      &run->host,
			   &run->state, &run->version, &run->settings, &run->socket };
	int64_t *numbers[] = { &run->started_at,   &run->ended_at, &run->exit_code,
			       &run->exit_signal,  &run->user_ns,  &run->system_ns,
			       &run->max_rss_bytes };

	while (db_next(row)) {
		for (int i = 0; i < 8; i++) {
			free(*texts[i]);
			*texts[i] = must_copy(column_string(row, i));
		}
		for (int i = 0; i < 7; i++)
			*numbers[i] = column_number(row, 8 + i, UNKNOWN);
	}
}

void run_load_peak(sqlite3 *db, struct run *run, int64_t process_id)
{
	sqlite3_stmt *row = db_query(
		db,
		"SELECT process_id, pid, peak_bytes, peak_blocks, peak_ns FROM processes "
		"WHERE run_id = ?1 AND ?2 IN (0, process_id) AND unrecorded_reason IS NULL "
		"ORDER BY peak_bytes DESC, process_id LIMIT 1",
		"ii", run->run_id, process_id);

	while (db_next(row)) {
		run->peak_process_id = sqlite3_column_int64(row, 0);
		run->peak_pid = sqlite3_column_int64(row, 1);
		run->peak_bytes = sqlite3_column_int64(row, 2);
		run->peak_blocks = sqlite3_column_int64(row, 3);
		run->peak_ns = column_number(row, 4, UNKNOWN);
	}
}

static void run_load_sums(sqlite3 *db, struct run *run)
{
	static const char sql[] =
		"SELECT total(unrecorded_reason IS NULL), total(ending = 'running'), "
		"total(events), total(lost_events), "
		"total(foreign_frees), total(cut_stacks), total(wait_ns), total(late_events), "
		"total(allocations), total(allocated_bytes), total(frees), total(freed_bytes), "
		"total(reallocations), total(failed), total(temporary), total(preexisting_frees), "
		"total(preexisting_frees * forked), total(unrecorded_reason IS NOT NULL), "
		"total(ending = 'exec' AND unrecorded_reason IS NULL), "
		"total(live_blocks), total(live_bytes), coalesce(max(peak_held_bytes), 0), "
		"coalesce(max(peak_rss_bytes), 0), coalesce(max(ended_ns), 0) "
		"FROM processes WHERE run_id = ?";
	int64_t *numbers[] = { &run->processes,	      &run->running,
			       &run->events,	      &run->lost_events,
			       &run->foreign_frees,   &run->cut_stacks,
			       &run->wait_ns,	      &run->late_events,
			       &run->allocations,     &run->allocated_bytes,
			       &run->frees,	      &run->freed_bytes,
			       &run->reallocations,   &run->failed,
			       &run->temporary,	      &run->preexisting_frees,
			       &run->inherited_frees, &run->unrecorded,
			       &run->execs,	      &run->live_blocks,
			       &run->live_bytes,      &run->peak_held_bytes,
			       &run->peak_rss_bytes,  &run->last_ns };
	sqlite3_stmt *row = db_query(db, sql, "i", run->run_id);

	while (db_next(row))
		for (int i = 0; i < (int)(sizeof(numbers) / sizeof(*numbers)); i++)
			*numbers[i] = sqlite3_column_int64(row, i);
	run_load_peak(db, run, 0);
	row = db_query(db,
		       "SELECT foreign_path, foreign_symbols, (SELECT count(DISTINCT foreign_path) "
		       "FROM processes WHERE run_id = ?1 AND foreign_symbols) FROM processes "
		       "WHERE run_id = ?1 AND foreign_symbols ORDER BY process_id LIMIT 1",
		       "i", run->run_id);
	while (db_next(row)) {
		free(run->foreign_path);
		run->foreign_path = must_copy(column_string(row, 0));
		run->foreign_symbols = sqlite3_column_int64(row, 1);
		run->foreign_programs = sqlite3_column_int64(row, 2);
	}
	row = db_query(db,
		       "SELECT count(*), total(to_ns IS NULL) FROM gaps WHERE process_id IN "
		       "(SELECT process_id FROM processes WHERE run_id = ?)",
		       "i", run->run_id);
	while (db_next(row)) {
		run->gaps = sqlite3_column_int64(row, 0);
		run->gaps_open = sqlite3_column_int64(row, 1);
	}
	run->chunk_bytes = db_number(db,
				     "SELECT total(length(blob)) FROM chunks WHERE process_id IN "
				     "(SELECT process_id FROM processes WHERE run_id = ?)",
				     "i", run->run_id);
	if (run->ended_at == UNKNOWN) {
		int64_t sampled = db_number(db,
					    "SELECT max(at_ns) FROM samples WHERE process_id IN "
					    "(SELECT process_id FROM processes WHERE run_id = ?)",
					    "i", run->run_id);

		run->last_ns = sampled > run->last_ns ? sampled : run->last_ns;
	}
}

void run_load(sqlite3 *db, int64_t run_id, struct run *ret_run)
{
	*ret_run = (struct run){ .run_id = run_id, .peak_ns = UNKNOWN };
	run_load_row(db, ret_run);
	run_load_sums(db, ret_run);
}

int64_t run_process(sqlite3 *db, const struct run *run, int64_t pid)
{
	int64_t process_id;

	if (!pid)
		return 0;
	process_id =
		db_number(db, "SELECT max(process_id) FROM processes WHERE run_id = ? AND pid = ?",
			  "ii", run->run_id, pid);
	if (!process_id)
		die("run %s has no process %s", format_plain(run->run_id), format_plain(pid));
	return process_id;
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
	*run = (struct run){ 0 };
}

static const char *ending_text(const char *state, int64_t exit_code, int64_t exit_signal)
{
	static char text[96];

	if (exit_signal != UNKNOWN && exit_signal > 0) {
		const char *name = sigabbrev_np((int)exit_signal);

		if (name)
			snprintf(text, sizeof(text), "killed by SIG%s", name);
		else
			snprintf(text, sizeof(text), "killed by signal %d", (int)exit_signal);
	} else if (exit_code != UNKNOWN) {
		snprintf(text, sizeof(text), "exited with %d", (int)exit_code);
	} else if (!strcmp(state, "running")) {
		snprintf(text, sizeof(text), "still running");
	} else {
		snprintf(text, sizeof(text), "its end is not recorded");
	}
	return text;
}

const char *run_ending(const struct run *run)
{
	return ending_text(run->state, run->exit_code, run->exit_signal);
}

const char *run_foreign(const struct run *run)
{
	static char text[512];

	snprintf(text, sizeof(text),
		 "%s its own allocator (%.300s), %s not ours: what it gives out of its own is not "
		 "recorded",
		 run->foreign_programs > 1 ? "more than one program brings"
		 : run->processes > 1	   ? "one program brings"
					   : "this program brings",
		 run->foreign_path, format_plural(run->foreign_symbols, "symbol", "symbols"));
	return text;
}

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

int64_t run_duration(const struct run *run)
{
	if (run->ended_at != UNKNOWN)
		return run->ended_at - run->started_at;
	return run->last_ns ? run->last_ns : UNKNOWN;
}
