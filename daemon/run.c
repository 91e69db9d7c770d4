#include "daemon/run.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/exit_status.h"
#include "daemon/pidfd.h"
#include "daemon/text.h"
#include "proto/image.h"

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
		daemon_retry(run->daemon); /* perhaps there is room again */
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

bool run_dormant(char *const *settings, size_t count)
{
	static const char name[] = "HEAPTAPE_DORMANT=";
	const size_t length = sizeof(name) - 1;

	for (size_t i = 0; i < count; i++)
		if (strncmp(settings[i], name, length) == 0)
			return settings[i][length] && strcmp(settings[i] + length, "0") != 0;
	return false;
}

int run_start(struct daemon *daemon, const Heaptape__RunStart *message, struct run_command *command,
	      struct run **ret_run)
{
	struct run *run = run_new(daemon);
	char *words = text_command(message->command, message->n_command);
	char *settings = text_lines(message->settings, message->n_settings);
	int error = -ENOMEM;

	if (!run || !words || !settings)
		goto out;
	while (!(run->token & INT64_MAX))
		if (getrandom(&run->token, sizeof(run->token), 0) < 0)
			run->token = run->started_ns;
	run->command = command;
	run->token &= INT64_MAX; /* it travels as decimal text */
	run->recording = !run_dormant(message->settings, message->n_settings);
	error = add_row(run, message->label, words, message->cwd, settings);
	if (error)
		goto out;
	run->next = daemon->runs;
	daemon->runs = run;
	*ret_run = run;
out:
	free(words);
	free(settings);
	if (error && run)
		run_free(run);
	return error;
}

struct run *run_of(const struct daemon *daemon, uint64_t token, uint32_t pid, uint32_t parent_pid)
{
	struct run *run;

	for (run = daemon->runs; run; run = run->next)
		if (token ? run->token == token
			  : run->by_hand && !run->token &&
				    (run_find_process(run, (pid_t)pid) ||
				     run_find_process(run, (pid_t)parent_pid)))
			break;
	return run;
}

int run_of_process(struct daemon *daemon, const Heaptape__Hello *hello, struct run **ret_run)
{
	struct run *run = run_of(daemon, hello->run_token, 0, hello->parent_pid);
	char *command, *settings;
	int error = -ENOMEM;

	if (run) {
		*ret_run = run;
		return 0;
	}
	run = run_new(daemon);
	command = text_command(hello->command, hello->n_command);
	settings = text_lines(hello->settings, hello->n_settings);
	if (!run || !command || !settings)
		goto out;
	run->by_hand = true;
	run->token =
		hello->run_token; /* of a daemon that was killed, or made by the first process */
	run->ended = true;	  /* nobody will say more */
	run->recording = !run_dormant(hello->settings, hello->n_settings);
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
	run->lost_forks += hello->forked;
	run->spawns_seen += !hello->forked;
	snprintf(text, sizeof(text), "process %u (%s) is not recorded: %s", hello->pid,
		 hello->executable, why);
	writer_note(&run->daemon->writer, run->run_id, 0, clock_monotonic_ns() - run->started_ns,
		    text);
}

static void add_lost(struct run *run, int64_t process_id, uint32_t lost, const char *what)
{
	char text[256];

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
	add_lost(run, process_id, lost, "programs that were started and could not be announced");
}

/* What a process was before it became what it is now. A number that is used again is another process. */
static struct run_process *find_former(struct run *run, pid_t peer_pid, uint64_t identity)
{
	for (uint32_t i = run->process_count; i-- > 0;) {
		struct run_process *former = &run->processes[i];

		if (former->identity ? former->identity == identity
				     : peer_pid && former->peer_pid == peer_pid &&
					       former->how == PROCESS_EXEC)
			return former;
	}
	return NULL;
}

/* False: there is no memory, and its children will have no parent. */
static bool remember(struct run *run, const struct run_process *process)
{
	if (run->process_count == run->process_capacity) {
		uint32_t capacity = run->process_capacity ? run->process_capacity * 2 : 8;
		struct run_process *processes =
			realloc(run->processes, capacity * sizeof(*processes));

		if (!processes)
			return false;
		run->processes = processes;
		run->process_capacity = capacity;
	}
	run->processes[run->process_count++] = *process;
	return true;
}

void run_add_process(struct run *run, const struct run_process *process, bool forked)
{
	run->running++;
	run->looked = false;
	run->forks_seen += forked;
	/* Nobody announces a run's first process. */
	run->spawns_seen += !forked && run->process_count > 0 &&
			    !find_former(run, process->peer_pid, process->identity);
	remember(run, process);
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

/* In a PID namespace of its own a process cannot tell who its parent outside is. */
static int64_t find_by_kernel(const struct run *run, pid_t peer_pid)
{
	pid_t parent = peer_pid > 0 ? pid_parent(peer_pid) : 0;

	for (uint32_t i = run->process_count; parent > 0 && i-- > 0;)
		if (run->processes[i].peer_pid == parent)
			return run->processes[i].process_id;
	return 0;
}

static uint64_t end_of(const struct run *run, const struct run_process *ended)
{
	return ended->ended_ns ? ended->ended_ns : clock_monotonic_ns() - run->started_ns;
}

static void close_pidfd(struct run_process *process)
{
	if (process->pidfd >= 0)
		close(process->pidfd);
	process->pidfd = -1;
}

/* Does it execute the file it was announced with? */
static bool is_still(const struct run_process *former)
{
	char path[64];
	struct stat status;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)former->peer_pid);
	return former->unrecorded && stat(path, &status) == 0 && status.st_dev == former->device &&
	       status.st_ino == former->inode;
}

/* It is recorded after all. */
static void remove_unrecorded(struct run *run, struct run_process *process)
{
	struct writer *writer = &run->daemon->writer;
	sqlite3_stmt *remove = writer_statement(writer, SQL_UNRECORDED_REMOVE);

	writer_bind(remove, 1, (uint64_t[]){ (uint64_t)process->process_id }, 1);
	writer_run(writer, remove);
	process->unrecorded = false;
	process->pid = 0;
	run->unrecorded--;
}

/* The parent of what a process becomes now; its former program has ended by that. */
int64_t run_parent(struct run *run, pid_t peer_pid, uint64_t identity, pid_t parent_pid)
{
	struct run_process *former = find_former(run, peer_pid, identity);
	int64_t parent = run_find_process(run, parent_pid);

	if (!former)
		return parent ? parent : find_by_kernel(run, peer_pid);
	former->how = PROCESS_EXEC;
	former->awaited = false;
	if (is_still(former))
		remove_unrecorded(run, former);
	else if (!former->running)
		save_ending(run, former->process_id, end_of(run, former), PROCESS_EXEC, 0);
	close_pidfd(former);
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
		close_pidfd(ended);
		if (result == 0 && ended->how == PROCESS_VANISHED)
			save_ending(run, ended->process_id, end_of(run, ended),
				    WIFSIGNALED(status) ? PROCESS_SIGNALED : PROCESS_EXITED,
				    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		else if (ended->unrecorded)
			save_ending(run, ended->process_id, end_of(run, ended), PROCESS_VANISHED,
				    0);
	}
	return all;
}

void run_add_unrecorded(struct run *run, const Heaptape__Unrecorded *message, const char *command,
			uint64_t started_ns, pid_t peer_pid, int pidfd)
{
	struct writer *writer = &run->daemon->writer;
	struct run_process process = { .pid = (pid_t)message->pid,
				       .peer_pid = peer_pid,
				       .identity = pidfd_identity(pidfd),
				       .how = PROCESS_VANISHED,
				       .pidfd = pidfd,
				       .unrecorded = true,
				       .device = message->device,
				       .inode = message->inode };
	sqlite3_stmt *add;

	run->unrecorded++;
	run->looked = false;
	run->quiet_ns = clock_monotonic_ns();
	process.parent_process_id =
		run_parent(run, peer_pid, process.identity, (pid_t)message->parent_pid);
	add = writer_statement(writer, SQL_UNRECORDED_ADD);
	writer_bind(add, 1,
		    (uint64_t[]){ (uint64_t)run->run_id, (uint64_t)process.parent_process_id,
				  message->pid },
		    3);
	if (add && !process.parent_process_id)
		sqlite3_bind_null(add, 2);
	writer_bind_text(add, 4, message->executable);
	writer_bind_text(add, 5, command);
	writer_bind(add, 6, &started_ns, 1);
	writer_bind_text(add, 7, image_reason_text(message->reason));
	if (writer_run(writer, add) == 0)
		process.process_id = sqlite3_last_insert_rowid(writer->db);
	writer_commit(writer);
	if (run->status_pid && run->status_pid == process.pid) {
		save_ending(run, process.process_id, end_of(run, &process),
			    run->status_signal ? PROCESS_SIGNALED : PROCESS_EXITED,
			    run->status_signal ? run->status_signal : run->status_code);
		close_pidfd(&process);
	} else if (pidfd < 0) {
		save_ending(run, process.process_id, end_of(run, &process), PROCESS_VANISHED, 0);
	}
	if (!remember(run, &process))
		close_pidfd(&process);
	learn_endings(run);
}

/* The running process of that row. */
static struct run_process *find_running(struct run *run, int64_t process_id)
{
	for (uint32_t i = run->process_count; i-- > 0;)
		if (run->processes[i].running && run->processes[i].process_id == process_id)
			return &run->processes[i];
	return NULL;
}

void run_end_process(struct run *run, const struct run_ending *ending)
{
	struct run_process *ended = find_running(run, ending->process_id);
	enum process_end how = ending->how;
	int exit_code = ending->exit_code;
	bool succeeded, goes_on; /* by the program it has become; or it may */

	run->running--;
	run->looked = false;
	run->quiet_ns = clock_monotonic_ns();
	run->has_stacks = run->has_stacks || ending->has_stacks;
	if (ending->cut || how == PROCESS_CUT)
		run->cut = true;
	if (ending->lost)
		run->lost = true;
	if (ending->had_no_memory && how == PROCESS_VANISHED) {
		run->lost = true;
		writer_note(
			&run->daemon->writer, run->run_id, ending->process_id, ending->ended_ns,
			"it shared no memory with heaptaped, so its last events are not recorded");
	}
	if (run->status_pid == ending->pid && how == PROCESS_VANISHED) {
		how = run->status_signal ? PROCESS_SIGNALED : PROCESS_EXITED;
		exit_code = run->status_signal ? run->status_signal : run->status_code;
	}
	if (ended && ended->how == PROCESS_EXEC && how == PROCESS_VANISHED)
		how = PROCESS_EXEC;
	save_ending(run, ending->process_id, ending->ended_ns, how, exit_code);
	succeeded = ended && ended->how == PROCESS_EXEC;
	goes_on = ended && how != PROCESS_EXITED && !succeeded && !run->daemon->stopping;
	if (!goes_on && ending->pidfd >= 0)
		close(ending->pidfd);
	if (!ended)
		return;
	ended->how = how;
	ended->awaited = how == PROCESS_EXEC && exit_code && !succeeded;
	ended->running = false;
	ended->ended_ns = ending->ended_ns;
	if (goes_on) {
		ended->pidfd = ending->pidfd;
		learn_endings(run);
	}
}

void run_end(struct run *run, const Heaptape__RunEnd *message)
{
	struct writer *writer = &run->daemon->writer;
	sqlite3_stmt *set;

	run->ended = true;
	run->looked = false;
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
		close_pidfd(ended);
		save_ending(run, ended->process_id, end_of(run, ended),
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
	sqlite3_stmt *end;

	if (clock_monotonic_ns() < run->retry_ns)
		return;
	run->retry_ns = clock_monotonic_ns() + RETRY_NS;
	snprintf(why, sizeof(why), "recording stopped: %s", writer->error.text);
	if (writer->failed)
		daemon_retry(run->daemon);
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

/* All that were announced have come by now, or will never. */
static void count_missing(struct run *run)
{
	uint64_t forks = run->forks_seen + run->lost_forks, silent = 0;

	if (run->spawns > run->spawns_seen)
		silent = run->spawns - run->spawns_seen;
	for (uint32_t i = 0; i < run->process_count; i++)
		silent += run->processes[i].awaited;
	if (run->forks > forks)
		add_lost(run, 0, (uint32_t)(run->forks - forks),
			 "forked children that ended before their records began");
	add_lost(run, 0, (uint32_t)silent,
		 "programs that ended before their records began, or could not have any,");
}

/* Processes whose end the database did not take: their rows say "running" still. */
static void cut_unended(struct run *run)
{
	struct writer *writer = &run->daemon->writer;
	sqlite3_stmt *find = writer_statement(writer, SQL_RUN_UNENDED);
	int64_t unended = 0;

	writer_bind(find, 1, (uint64_t[]){ (uint64_t)run->run_id }, 1);
	if (writer_find(writer, find, &unended) != 0 || !unended)
		return;
	run->cut = true;
	if (recorder_end_run(writer->db, run->run_id,
			     "the end of some processes could not be stored") != 0)
		writer_fail(writer, "write to");
}

/* Of processes that are not recorded, and whose end nobody tells. */
static void give_up_endings(struct run *run)
{
	for (uint32_t i = 0; i < run->process_count; i++)
		if (run->processes[i].unrecorded && run->processes[i].pidfd >= 0)
			save_ending(run, run->processes[i].process_id,
				    end_of(run, &run->processes[i]),
				    run->daemon->stopping ? PROCESS_CUT : PROCESS_VANISHED, 0);
}

static void finish(struct run *run)
{
	struct daemon *daemon = run->daemon;
	sqlite3_stmt *end;
	bool written;

	learn_endings(run);
	count_missing(run);
	give_up_endings(run);
	cut_unended(run);
	end = writer_statement(&daemon->writer, SQL_RUN_END);
	writer_bind(end, 1, (uint64_t[]){ (uint64_t)run->run_id }, 1);
	writer_bind_text(end, 2,
			 run->cut			? "cut"
			 : run->lost || run->unrecorded ? "incomplete"
							: "complete");
	writer_bind(end, 3, (uint64_t[]){ clock_realtime_ns() }, 1);
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
	bool known = learn_endings(run);
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
