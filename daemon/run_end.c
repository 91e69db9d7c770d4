/* A run ends: when nothing of it lives, and what its row says then. */
#include "daemon/run.h"

#include <stdio.h>

#include "daemon/clock.h"
#include "daemon/pidfd.h"

/* How long processes may go on after the program has ended, before the command is told that they do.
 * Also how long the kernel may take to say how one ended that has closed its connection. */
#define LINGER_NS 200000000u
#define RETRY_NS 2000000000u

static void bind_status(struct statement *statement, const struct run *run)
{
	writer_bind_known(statement, P_exit_code, !run->status_signal, (uint64_t)run->status_code);
	writer_bind_known(statement, P_exit_signal, run->status_signal,
			  (uint32_t)run->status_signal);
}

/* What the command has said of the program. */
static void save_program(struct run *run)
{
	struct writer *writer = &run->daemon->writer;
	struct statement *set = writer_statement(writer, SQL_RUN_PROGRAM);

	writer_bind(set, { P_run_id, (uint64_t)run->run_id }, { P_user_ns, run->status_user_ns },
		    { P_system_ns, run->status_system_ns },
		    { P_max_rss_bytes, run->status_max_rss_bytes });
	bind_status(set, run);
	writer_run(writer, set);
}

void run_end(struct run *run, const Heaptape__RunEnd *message)
{
	struct writer *writer = &run->daemon->writer;
	struct statement *set;

	run->ended = true;
	run->looked = false;
	run->ended_ns = run->quiet_ns = clock_monotonic_ns();
	run->status_pid = (pid_t)message->pid;
	run->status_code = message->exit_code;
	run->status_signal = (int)message->exit_signal;
	run->status_user_ns = message->user_ns;
	run->status_system_ns = message->system_ns;
	run->status_max_rss_bytes = message->max_rss_bytes;
	save_program(run);

	/* The program's connection may have closed before the command knew why. */
	set = writer_statement(writer, SQL_PROCESS_STATUS);
	writer_bind(set, { P_run_id, (uint64_t)run->run_id }, { P_pid, message->pid });
	writer_bind_text(set, P_ending,
			 store_ending_name(message->exit_signal ? PROCESS_SIGNALED
								: PROCESS_EXITED));
	bind_status(set, run);
	writer_run(writer, set);
	run_tell_status(run);
}

void run_command_gone(struct run *run)
{
	run->command = NULL;
	run->ended = true;
	run->quiet_ns = clock_monotonic_ns();
}

static void leave(struct run *run)
{
	struct run **link = &run->daemon->runs;

	run->daemon->calls->run_done(run->daemon, run->run_id, run->has_stacks);
	while (*link != run)
		link = &(*link)->next;
	*link = run->next;
	run_free(run);
}

/* What a full disk or another program's lock kept from being written: some time later, as long as we
 * are here. After us, whoever opens the file ends the run. */
static void finish_again(struct run *run)
{
	struct writer *writer = &run->daemon->writer;
	char why[sizeof(writer->error.text) + 32];

	if (clock_monotonic_ns() < run->retry_ns)
		return;
	run->retry_ns = clock_monotonic_ns() + RETRY_NS;
	snprintf(why, sizeof(why), "recording stopped: %s", writer->error.text);
	if (writer->failed)
		daemon_retry(run->daemon);
	if (writer_begin(writer) == 0 && recorder_end_run(writer->db, run->run_id, why) != 0)
		writer_fail(writer, "write to");
	if (run->status_pid)
		save_program(run);
	if (writer_commit(writer) == 0)
		leave(run);
}

/* All that were announced have come by now, or will never. */
static void count_missing(struct run *run)
{
	uint64_t forks = run->forks_seen + run->lost_forks, silent = 0;

	if (run->spawns > run->spawns_seen)
		silent = run->spawns - run->spawns_seen;
	for (uint32_t i = 0; i < run->process_count; i++)
		silent += run->processes[i].awaited;
	if (run->forks > forks)
		run_add_lost(run, 0, (uint32_t)(run->forks - forks),
			     "forked children that ended before their records began");
	run_add_lost(run, 0, (uint32_t)silent,
		     "programs that ended before their records began, or could not have any,");
}

/* Processes whose end the database did not take: their rows say "running" still. */
static void cut_unended(struct run *run)
{
	struct writer *writer = &run->daemon->writer;
	struct statement *find = writer_statement(writer, SQL_RUN_UNENDED);
	int64_t unended = 0;

	writer_bind(find, { P_run_id, (uint64_t)run->run_id });
	if (writer_find(writer, find, P_processes, &unended) != 0 || !unended)
		return;
	run->cut = true;
	if (recorder_end_run(writer->db, run->run_id,
			     "the end of some processes could not be stored") != 0)
		writer_fail(writer, "write to");
}

static void finish(struct run *run)
{
	struct daemon *daemon = run->daemon;
	struct statement *end;
	bool written;

	run_learn_endings(run);
	count_missing(run);
	run_give_up_endings(run);
	cut_unended(run);
	end = writer_statement(&daemon->writer, SQL_RUN_END);
	writer_bind(end, { P_run_id, (uint64_t)run->run_id }, { P_ended_at, clock_realtime_ns() });
	writer_bind_text(end, P_state,
			 run->cut			? "cut"
			 : run->lost || run->unrecorded ? "incomplete"
							: "complete");
	written = writer_run(&daemon->writer, end) == 0 && writer_commit(&daemon->writer) == 0;
	if (run->command)
		run->command->done(run->command, run->run_id, 0);
	run->command = NULL;
	run->unwritten = !written;
	run->retry_ns = clock_monotonic_ns() + RETRY_NS;
	if (written || daemon->private || daemon->stopping)
		leave(run);
}

void run_look(struct run *run)
{
	run->others = run->left;
	for (uint32_t i = 0; i < run->process_count; i++)
		run->others +=
			run->processes[i].pidfd >= 0 && !pidfd_has_ended(run->processes[i].pidfd);
	run->looked = run->ended && !run->running;
	if (run->looked && !run->others)
		run->others = pending_count(&run->pending, run->token);
}

/* Processes go on that nobody will record any more. */
static void cut_short(struct run *run)
{
	char text[96];

	snprintf(text, sizeof(text), "heaptaped was stopped while processes went on: %u",
		 run->others);
	writer_note(&run->daemon->writer, run->run_id, 0, clock_monotonic_ns() - run->started_ns,
		    text);
	run->cut = true;
}

bool run_check(struct run *run, bool strangers)
{
	bool known = run_learn_endings(run);
	uint64_t now = clock_monotonic_ns();

	if (!run->ended)
		return true;
	if (!run->running && !run->looked)
		return false;
	if (run->daemon->stopping && run->others && !run->running)
		cut_short(run);
	else if (run->running || run->others || run->left) {
		if (run->command && !run->told && now - run->ended_ns >= LINGER_NS) {
			run->told = true;
			writer_commit(&run->daemon->writer);
			run->command->done(run->command, run->run_id, run->running + run->others);
		}
		return true;
	}
	if (!run->daemon->stopping && (strangers || !known) && now - run->quiet_ns < LINGER_NS)
		return true;
	if (run->unwritten)
		finish_again(run);
	else
		finish(run);
	return true;
}
