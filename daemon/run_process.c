/* The processes a run had: who became whom, and how each ended. */
#include "daemon/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/exit_status.h"
#include "daemon/pidfd.h"
#include "proto/image.h"

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

void run_save_ending(struct run *run, int64_t process_id, uint64_t ended_ns, enum process_end how,
		     int code)
{
	struct writer *writer = &run->daemon->writer;
	struct statement *end = writer_statement(writer, SQL_PROCESS_END);

	writer_bind(end, { P_process_id, (uint64_t)process_id }, { P_ended_ns, ended_ns });
	writer_bind_text(end, P_ending, store_ending_name(how));
	writer_bind_known(end, P_exit_code, how == PROCESS_EXITED, (uint64_t)code);
	writer_bind_known(end, P_exit_signal, how == PROCESS_SIGNALED, (uint64_t)code);
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
	struct statement *remove = writer_statement(writer, SQL_UNRECORDED_REMOVE);

	writer_bind(remove, { P_process_id, (uint64_t)process->process_id });
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
		run_save_ending(run, former->process_id, end_of(run, former), PROCESS_EXEC, 0);
	close_pidfd(former);
	/* Its parent may be gone by now. */
	return former->parent_process_id ? former->parent_process_id : parent;
}

bool run_learn_endings(struct run *run)
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
			run_save_ending(run, ended->process_id, end_of(run, ended),
					WIFSIGNALED(status) ? PROCESS_SIGNALED : PROCESS_EXITED,
					WIFSIGNALED(status) ? WTERMSIG(status)
							    : WEXITSTATUS(status));
		else if (ended->unrecorded)
			run_save_ending(run, ended->process_id, end_of(run, ended),
					PROCESS_VANISHED, 0);
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
	struct statement *add;
	int64_t process_id;

	run->unrecorded++;
	run->looked = false;
	run->quiet_ns = clock_monotonic_ns();
	process.parent_process_id =
		run_parent(run, peer_pid, process.identity, (pid_t)message->parent_pid);
	add = writer_statement(writer, SQL_UNRECORDED_ADD);
	writer_bind(add, { P_run_id, (uint64_t)run->run_id }, { P_pid, message->pid },
		    { P_started_ns, started_ns });
	writer_bind_known(add, P_parent_process_id, process.parent_process_id,
			  (uint64_t)process.parent_process_id);
	writer_bind_text(add, P_executable, message->executable);
	writer_bind_text(add, P_command, command);
	writer_bind_text(add, P_unrecorded_reason, image_reason_text(message->reason));
	process_id = writer_add(writer, add);
	if (process_id > 0)
		process.process_id = process_id;
	writer_commit(writer);
	if (run->status_pid && run->status_pid == process.pid) {
		run_save_ending(run, process.process_id, end_of(run, &process),
				run->status_signal ? PROCESS_SIGNALED : PROCESS_EXITED,
				run->status_signal ? run->status_signal : run->status_code);
		close_pidfd(&process);
	} else if (pidfd < 0) {
		run_save_ending(run, process.process_id, end_of(run, &process), PROCESS_VANISHED,
				0);
	}
	if (!remember(run, &process))
		close_pidfd(&process);
	run_learn_endings(run);
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
	run_save_ending(run, ending->process_id, ending->ended_ns, how, exit_code);
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
		run_learn_endings(run);
	}
}

void run_tell_status(struct run *run)
{
	for (uint32_t i = 0; i < run->process_count; i++) {
		struct run_process *ended = &run->processes[i];

		if (ended->pid != run->status_pid || ended->pidfd < 0 ||
		    ended->how != PROCESS_VANISHED)
			continue;
		close_pidfd(ended);
		run_save_ending(run, ended->process_id, end_of(run, ended),
				run->status_signal ? PROCESS_SIGNALED : PROCESS_EXITED,
				run->status_signal ? run->status_signal : run->status_code);
	}
}

void run_give_up_endings(struct run *run)
{
	for (uint32_t i = 0; i < run->process_count; i++)
		if (run->processes[i].unrecorded && run->processes[i].pidfd >= 0)
			run_save_ending(run, run->processes[i].process_id,
					end_of(run, &run->processes[i]),
					run->daemon->stopping ? PROCESS_CUT : PROCESS_VANISHED, 0);
}
