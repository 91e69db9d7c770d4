#include "daemon/run.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/control.h"
#include "daemon/exit_status.h"
#include "daemon/peer.h"
#include "daemon/pidfd.h"
#include "daemon/text.h"

/* How long processes may go on after the program has ended, before the command is told that they do.
 * Also how long the kernel may take to say how one ended that has closed its connection. */
#define LINGER_NS 200000000u
#define RETRY_NS 2000000000u

static int add_row(struct run *run, const char *label, const char *command, const char *cwd,
		   const char *settings)
{
	struct writer *writer = &run->daemon->writer;
	char host[256] = "";
	sqlite3_stmt *add;
	int error;

	if (writer->failed)
		writer_retry(writer); /* perhaps there is room again */
	if (writer_begin_soon(writer) != 0)
		return -EIO;
	gethostname(host, sizeof(host) - 1);
	add = writer_statement(writer, SQL_RUN_ADD);
	writer_bind_text(add, 1, label);
	writer_bind_text(add, 2, command);
	writer_bind_text(add, 3, cwd);
	writer_bind_text(add, 4, host);
	run->started_at = clock_realtime_ns();
	writer_bind(add, 5, &run->started_at, 1);
	writer_bind_text(add, 6, HEAPTAPE_VERSION);
	writer_bind_text(add, 7, settings);
	writer_bind_text(add, 8, writer->recorder);
	writer_bind_text(add, 9, run->daemon->socket_path);
	error = writer_run(writer, add);
	if (!error) {
		run->run_id = sqlite3_last_insert_rowid(writer->db);
		error = writer_commit(writer);
	}
	return error;
}

static struct run *run_new(struct daemon *daemon)
{
	struct run *run = calloc(1, sizeof(*run));

	if (run) {
		run->daemon = daemon;
		run->started_ns = clock_monotonic_ns();
		run->pending.pidfd = -1;
	}
	return run;
}

static void run_free(struct run *run)
{
	for (uint32_t i = 0; i < run->process_count; i++)
		if (run->processes[i].pidfd >= 0)
			close(run->processes[i].pidfd);
	pending_release(&run->pending);
	free(run->processes);
	free(run);
}

int run_start(struct daemon *daemon, const Heaptape__RunStart *message, struct run **ret_run)
{
	struct run *run = run_new(daemon);
	char *command = text_command(message->command, message->n_command);
	char *settings = text_lines(message->settings, message->n_settings);
	int error = -ENOMEM;

	if (!run || !command || !settings)
		goto out;
	while (!(run->token & INT64_MAX))
		if (getrandom(&run->token, sizeof(run->token), 0) < 0)
			run->token = run->started_ns;
	run->token &= INT64_MAX; /* it travels as decimal text */
	run->recording = !control_dormant(message->settings, message->n_settings);
	error = add_row(run, message->label, command, message->cwd, settings);
	if (error)
		goto out;
	run->next = daemon->runs;
	daemon->runs = run;
	*ret_run = run;
out:
	free(command);
	free(settings);
	if (error && run)
		run_free(run);
	return error;
}

int run_of_process(struct daemon *daemon, const Heaptape__Hello *hello, struct run **ret_run)
{
	struct run *run;
	char *command, *settings;
	int error = -ENOMEM;

	for (run = daemon->runs; run; run = run->next) {
		if (hello->run_token
			    ? run->token == hello->run_token
			    : run->by_hand && run_find_process(run, (pid_t)hello->parent_pid)) {
			*ret_run = run;
			return 0;
		}
	}
	run = run_new(daemon);
	command = text_command(hello->command, hello->n_command);
	settings = text_lines(hello->settings, hello->n_settings);
	if (!run || !command || !settings)
		goto out;
	run->by_hand = true;
	run->ended = true; /* nobody will say more */
	run->recording = !control_dormant(hello->settings, hello->n_settings);
	error = add_row(run, "", *command ? command : hello->executable, "", settings);
	if (error)
		goto out;
	run->next = daemon->runs;
	daemon->runs = run;
	*ret_run = run;
out:
	free(command);
	free(settings);
	if (error && run)
		run_free(run);
	return error;
}

void run_refused(struct run *run, const Heaptape__Hello *hello, const char *why)
{
	char text[PATH_MAX + 128];

	run->lost = true;
	snprintf(text, sizeof(text), "process %u (%s) is not recorded: %s", hello->pid,
		 hello->executable, why);
	writer_note(&run->daemon->writer, run->run_id, 0, clock_monotonic_ns() - run->started_ns,
		    text);
}

static void add_lost(struct run *run, int64_t process_id, uint32_t lost, const char *what)
{
	char text[128];

	if (!lost)
		return;
	run->lost = true;
	snprintf(text, sizeof(text), "%s and are not recorded: %u", what, lost);
	writer_note(&run->daemon->writer, run->run_id, process_id,
		    clock_monotonic_ns() - run->started_ns, text);
}

void run_add_forks(struct run *run, int64_t process_id, uint32_t forks, uint32_t lost)
{
	run->forks += forks;
	run->lost_forks += lost;
	add_lost(run, process_id, lost, "forked children that could not connect to heaptaped");
}

void run_add_lost_execs(struct run *run, int64_t process_id, uint32_t lost)
{
	add_lost(run, process_id, lost,
		 "programs that were started where heaptape is out of reach, or with a low "
		 "RLIMIT_DATA,");
}

void run_add_process(struct run *run, struct process *process)
{
	run->running++;
	run->forks_seen += process->inherited_ticks != 0;
	if (run->process_count == run->process_capacity) {
		uint32_t capacity = run->process_capacity ? run->process_capacity * 2 : 8;
		struct run_process *processes =
			realloc(run->processes, capacity * sizeof(*processes));

		if (!processes)
			return; /* its children will have no parent */
		run->processes = processes;
		run->process_capacity = capacity;
	}
	run->processes[run->process_count++] =
		(struct run_process){ .pid = process->pid,
				      .peer_pid = process->peer_pid,
				      .identity = process->identity,
				      .process_id = process->process_id,
				      .parent_process_id = process->parent_process_id,
				      .process = process,
				      .pidfd = -1 };
}

static struct run_process *find(const struct run *run, pid_t pid)
{
	for (uint32_t i = run->process_count; i-- > 0;)
		if (run->processes[i].pid == pid)
			return &run->processes[i];
	return NULL;
}

int64_t run_find_process(const struct run *run, pid_t pid)
{
	const struct run_process *found = find(run, pid);

	return found ? found->process_id : 0;
}

static void save_ending(struct run *run, int64_t process_id, uint64_t ended_ns,
			enum process_end how, int code)
{
	struct writer *writer = &run->daemon->writer;
	sqlite3_stmt *end = writer_statement(writer, SQL_PROCESS_END);

	writer_bind(end, 1, (uint64_t[]){ (uint64_t)process_id, ended_ns }, 2);
	writer_bind_text(end, 3, store_ending_name(how));
	if (how == PROCESS_EXITED)
		writer_bind(end, 4, (uint64_t[]){ (uint64_t)code }, 1);
	if (how == PROCESS_SIGNALED)
		writer_bind(end, 5, (uint64_t[]){ (uint64_t)code }, 1);
	writer_run(writer, end);
}

/* A number that is used again is another process. */
static bool is_same(const struct run_process *former, const struct process *process)
{
	return former->identity ? former->identity == process->identity
				: former->how == PROCESS_EXEC;
}

/* What a process was before it became what it is now. */
static struct run_process *find_former(struct run *run, const struct process *process)
{
	for (uint32_t i = run->process_count; process->peer_pid && i-- > 0;) {
		struct run_process *former = &run->processes[i];

		if (former->peer_pid == process->peer_pid)
			return is_same(former, process) ? former : NULL;
	}
	return NULL;
}

/* In a PID namespace of its own a process cannot tell who its parent outside is. */
static int64_t find_by_kernel(const struct run *run, pid_t peer_pid)
{
	pid_t parent = peer_pid > 0 ? pid_parent(peer_pid) : 0;

	for (uint32_t i = run->process_count; parent > 0 && i-- > 0;)
		if (run->processes[i].peer_pid == parent)
			return run->processes[i].process_id;
	return 0;
}

int64_t run_parent(struct run *run, const struct process *process, pid_t parent_pid)
{
	struct run_process *former = find_former(run, process);
	int64_t parent = run_find_process(run, parent_pid);

	if (!former)
		return parent ? parent : find_by_kernel(run, process->peer_pid);
	former->how = PROCESS_EXEC;
	if (!former->process)
		save_ending(run, former->process_id, former->ended_ns, PROCESS_EXEC, 0);
	if (former->pidfd >= 0)
		close(former->pidfd);
	former->pidfd = -1;
	/* Its parent may be gone by now. */
	return former->parent_process_id ? former->parent_process_id : parent;
}

/* Learns how processes ended that said nothing. False: of some that may still come to light. */
static bool learn_endings(struct run *run)
{
	bool all = true;

	for (uint32_t i = 0; i < run->process_count; i++) {
		struct run_process *ended = &run->processes[i];
		int status, result = 0;

		if (ended->pidfd < 0 || !pidfd_has_ended(ended->pidfd))
			continue;
		if (ended->how == PROCESS_VANISHED)
			result = exit_status_get(ended->pidfd, ended->peer_pid, &status);
		if (result == -EAGAIN) {
			all = false;
			continue;
		}
		close(ended->pidfd);
		ended->pidfd = -1;
		if (result == 0 && ended->how == PROCESS_VANISHED)
			save_ending(run, ended->process_id, ended->ended_ns,
				    WIFSIGNALED(status) ? PROCESS_SIGNALED : PROCESS_EXITED,
				    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	return all;
}

void run_end_process(struct run *run, struct process *process, uint64_t ended_ns)
{
	struct run_process *ended = NULL;
	bool succeeded; /* by the program it has become */

	for (uint32_t i = run->process_count; i-- > 0 && !ended;)
		if (run->processes[i].process == process)
			ended = &run->processes[i];
	run->running--;
	run->quiet_ns = clock_monotonic_ns();
	run->has_stacks = run->has_stacks || process->node_count > 1;
	if (process->cut || process->how == PROCESS_CUT)
		run->cut = true;
	if (process_lost_events(process))
		run->lost = true;
	if (run->status_pid == process->pid && process->how == PROCESS_VANISHED) {
		process->how = run->status_signal ? PROCESS_SIGNALED : PROCESS_EXITED;
		process->exit_code = run->status_signal ? run->status_signal : run->status_code;
	}
	if (ended && ended->how == PROCESS_EXEC && process->how == PROCESS_VANISHED)
		process->how = PROCESS_EXEC;
	save_ending(run, process->process_id, ended_ns, process->how, process->exit_code);
	if (!ended)
		return;
	succeeded = ended->how == PROCESS_EXEC;
	ended->how = process->how;
	ended->process = NULL;
	ended->ended_ns = ended_ns;
	if (process->how != PROCESS_EXITED && !succeeded && !run->daemon->stopping) {
		ended->pidfd = process->pidfd;
		process->pidfd = -1;
		learn_endings(run);
	}
}

void run_end(struct run *run, const Heaptape__RunEnd *message)
{
	struct writer *writer = &run->daemon->writer;
	sqlite3_stmt *set;

	run->ended = true;
	run->ended_ns = run->quiet_ns = clock_monotonic_ns();
	run->status_pid = (pid_t)message->pid;
	run->status_code = message->exit_code;
	run->status_signal = (int)message->exit_signal;
	set = writer_statement(writer, SQL_RUN_PROGRAM);
	writer_bind(set, 1, (uint64_t[]){ (uint64_t)run->run_id }, 1);
	writer_bind(set, message->exit_signal ? 3 : 2,
		    (uint64_t[]){ message->exit_signal ? message->exit_signal
						       : (uint64_t)message->exit_code },
		    1);
	writer_bind(set, 4,
		    (uint64_t[]){ message->user_ns, message->system_ns, message->max_rss_bytes },
		    3);
	writer_run(writer, set);

	/* The program's connection may have closed before the command knew why. */
	set = writer_statement(writer, SQL_PROCESS_STATUS);
	writer_bind(set, 1, (uint64_t[]){ (uint64_t)run->run_id, message->pid }, 2);
	writer_bind_text(set, 3,
			 store_ending_name(message->exit_signal ? PROCESS_SIGNALED
								: PROCESS_EXITED));
	writer_bind(set, message->exit_signal ? 5 : 4,
		    (uint64_t[]){ message->exit_signal ? message->exit_signal
						       : (uint64_t)message->exit_code },
		    1);
	writer_run(writer, set);
	for (uint32_t i = 0; i < run->process_count; i++) {
		struct run_process *ended = &run->processes[i];

		if (ended->pid != run->status_pid || ended->pidfd < 0 ||
		    ended->how != PROCESS_VANISHED)
			continue;
		close(ended->pidfd);
		ended->pidfd = -1;
		save_ending(run, ended->process_id, ended->ended_ns,
			    run->status_signal ? PROCESS_SIGNALED : PROCESS_EXITED,
			    run->status_signal ? run->status_signal : run->status_code);
	}
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

	if (run->daemon->run_done)
		run->daemon->run_done(run->daemon, run->run_id, run->has_stacks);
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
	sqlite3_stmt *end;

	if (clock_monotonic_ns() < run->retry_ns)
		return;
	run->retry_ns = clock_monotonic_ns() + RETRY_NS;
	snprintf(why, sizeof(why), "recording stopped: %s", writer->error.text);
	if (writer->failed)
		writer_retry(writer);
	if (writer_begin(writer) == 0 && recorder_end_run(writer->db, run->run_id, why) != 0)
		writer_fail(writer, "write to");
	if (run->status_pid) {
		end = writer_statement(writer, SQL_RUN_PROGRAM);
		writer_bind(end, 1, (uint64_t[]){ (uint64_t)run->run_id }, 1);
		writer_bind(end, run->status_signal ? 3 : 2,
			    (uint64_t[]){ (uint64_t)(run->status_signal ? run->status_signal
									: run->status_code) },
			    1);
		writer_run(writer, end);
	}
	if (writer_commit(writer) == 0)
		leave(run);
}

static void finish(struct run *run)
{
	struct daemon *daemon = run->daemon;
	sqlite3_stmt *end;
	bool written;

	learn_endings(run);
	end = writer_statement(&daemon->writer, SQL_RUN_END);
	writer_bind(end, 1, (uint64_t[]){ (uint64_t)run->run_id }, 1);
	writer_bind_text(end, 2, run->cut ? "cut" : run->lost ? "incomplete" : "complete");
	writer_bind(end, 3, (uint64_t[]){ clock_realtime_ns() }, 1);
	written = writer_run(&daemon->writer, end) == 0 && writer_commit(&daemon->writer) == 0;
	if (run->command)
		peer_run_done(run->command, run->run_id, 0);
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
	if (run->ended && !run->running && !run->others)
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

void run_check(struct run *run, bool strangers)
{
	bool known = learn_endings(run);
	uint64_t now = clock_monotonic_ns();

	if (!run->ended)
		return;
	if (run->daemon->stopping && run->others && !run->running)
		cut_short(run);
	else if (run->running || run->others || run->left) {
		if (run->command && !run->told && now - run->ended_ns >= LINGER_NS) {
			run->told = true;
			writer_commit(&run->daemon->writer);
			peer_run_done(run->command, run->run_id, run->running + run->others);
		}
		return;
	}
	if (!run->daemon->stopping && (strangers || !known) && now - run->quiet_ns < LINGER_NS)
		return;
	if (run->unwritten)
		finish_again(run);
	else
		finish(run);
}
