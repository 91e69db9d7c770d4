#include "daemon/process.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/pidfd.h"
#include "daemon/run.h"
#include "daemon/text.h"
#include "proto/image.h"

#define FOREIGN_NOTES_MAX 64 /* of one process */

static void process_free(struct process *process)
{
	kept_offers_end(&process->daemon->kept, &process->kept_user);
	merge_release(process);
	chunks_release(process);
	samples_release(process);
	totals_release(&process->totals);
	ring_close(&process->ring);
	if (process->pidfd >= 0)
		close(process->pidfd);
	marks_free(process);
	free(process->threads);
	free(process->active);
	free(process->heap);
	free(process->nodes);
	free(process->mappings);
	free(process);
}

/* The row; 0 or negative errno. */
static int add_row(struct process *process, const Heaptape__Hello *hello)
{
	struct writer *writer = &process->daemon->writer;
	struct statement *add;
	int64_t parent = run_parent(process->run, process->peer_pid, process->identity,
				    (pid_t)hello->parent_pid);
	char *command = text_command(hello->command, hello->n_command);
	int64_t process_id;
	int error;

	add = writer_statement(writer, SQL_PROCESS_ADD);
	writer_bind(add, { P_run_id, (uint64_t)process->run->run_id }, { P_pid, hello->pid },
		    { P_started_ns, clock_ns(&process->scale, hello->ticks) },
		    { P_forked, (uint64_t)hello->forked },
		    { P_foreign_symbols, hello->foreign_symbols });
	writer_bind_known(add, P_parent_process_id, parent, (uint64_t)parent);
	writer_bind_text(add, P_executable, hello->executable);
	writer_bind_text(add, P_command, command ? command : hello->executable);
	writer_bind_text(add, P_foreign_path, hello->foreign_path);
	if (hello->unrecorded)
		writer_bind_text(add, P_unrecorded_reason, image_reason_text(hello->unrecorded));
	else
		writer_bind_known(add, P_unrecorded_reason, false, 0);
	process->parent_process_id = parent;
	process_id = writer_add(writer, add);
	error = (int)process_id;
	if (process_id > 0) {
		process->process_id = process_id;
		error = writer_commit(writer); /* its number must not be undone */
	}
	free(command);
	return error;
}

int process_new(struct daemon *daemon, struct run *run, const Heaptape__Hello *hello, int ring_fd,
		pid_t peer_pid, int pidfd, struct process **ret_process, const char **ret_why)
{
	struct process *process = calloc(1, sizeof(*process));
	int error = -ENOMEM;

	*ret_why = "out of memory";
	if (!process) {
		close(pidfd);
		return -ENOMEM;
	}
	process->daemon = daemon;
	process->run = run;
	process->pid = (pid_t)hello->pid;
	process->peer_pid = peer_pid;
	process->kept_user = (struct kept_user){ peer_pid, run->started_at };
	process->pidfd = pidfd;
	process->identity = pidfd_identity(pidfd);
	process->ring.fd = -1;
	process->samples.statm_fd = -1;
	process->cycles = hello->clock == HEAPTAPE__CLOCK_SOURCE__CLOCK_SOURCE_CYCLES;
	process->scale = clock_scale_get(process->cycles);
	process->scale.ns0 -= run->started_ns;
	process->started_ticks = hello->ticks;
	process->inherited_ticks = hello->forked ? hello->ticks : 0;
	process->stacks = hello->stacks;
	process->unseen_ticks = UINT64_MAX;
	process->threads_whole = 1;
	process->class_count = hello->n_size_classes < 255 ? (unsigned)hello->n_size_classes : 255;
	for (unsigned i = 0; i < process->class_count; i++)
		process->usable_bytes[i + 1] = hello->size_classes[i];
	if (totals_init(&process->totals) != 0)
		goto fail;
	totals_held(&process->totals, hello->held_bytes);
	process->nodes = calloc(64, sizeof(*process->nodes));
	if (!process->nodes)
		goto fail;
	process->node_capacity = 64;
	process->node_count = process->nodes_whole = 1;
	if (ring_fd >= 0) {
		error = ring_open(&process->ring, ring_fd);
		if (error) {
			*ret_why = "the shared memory is not what it should be";
			goto fail;
		}
		process->unseen_ticks = 0;
	}
	samples_init(process);
	title_init(&process->title, hello);
	error = add_row(process, hello);
	if (error) {
		*ret_why = "the database cannot be written";
		process->ring.fd = -1; /* the caller's still */
		goto fail;
	}
	process->next = daemon->processes;
	daemon->processes = process;
	run_add_process(run,
			&(struct run_process){ .pid = process->pid,
					       .peer_pid = process->peer_pid,
					       .identity = process->identity,
					       .process_id = process->process_id,
					       .parent_process_id = process->parent_process_id,
					       .running = true,
					       .pidfd = -1 },
			process->inherited_ticks != 0);
	run->unrecorded += hello->unrecorded != 0;
	follow_new_process(process, hello);
	*ret_process = process;
	return 0;
fail:
	process_free(process);
	return error;
}

/* A thread by a number from outside. */
static int find_thread(struct process *process, uint32_t number, struct thread **ret_thread)
{
	if (number == 0 || number > process->thread_count + THREAD_GAP_MAX)
		return -EPROTO;
	*ret_thread = process_thread(process, number, true);
	if (!*ret_thread)
		return -ENOMEM;
	return (*ret_thread)->ended ? -EPROTO : 0;
}

int process_thread_start(struct process *process, const Heaptape__ThreadStart *message)
{
	struct thread *thread;
	int error = find_thread(process, message->thread, &thread);

	if (error)
		return error;
	thread->started = true;
	thread->tid = message->tid;
	snprintf(thread->name, sizeof(thread->name), "%s", message->name);
	thread->started_ticks = message->ticks;
	thread->dirty = true;
	process->dirty = true;
	return 0;
}

int process_thread_end(struct process *process, const Heaptape__ThreadEnd *message)
{
	struct thread *thread;
	int error = find_thread(process, message->thread, &thread);

	if (error)
		return error;
	if (message->events > BATCH_MAX_SEQ)
		return -EPROTO;
	if (message->events > thread->next_seq) {
		thread->gaps += message->events - thread->next_seq;
		thread->next_seq = message->events;
	}
	thread->ended = true;
	thread->ended_ticks = message->ticks;
	thread->dirty = true;
	process->dirty = true;
	return 0;
}

int process_batch(struct process *process, const Heaptape__EventBatch *message, struct slab **slabs)
{
	struct thread *thread;
	struct batch batch;
	int error = batch_from_message(&batch, message);

	if (!error)
		error = batch_check(&batch, process->class_count);
	if (!error)
		error = find_thread(process, batch.thread, &thread);
	if (error)
		return error;
	return merge_add(process, thread, &batch, slabs);
}

void process_losses(struct process *process, const Heaptape__Losses *losses)
{
	uint64_t values[6] = { losses->dropped_events, losses->unrecorded_events,
			       losses->cut_stacks,     losses->wait_ns,
			       losses->waits,	       losses->foreign_frees };

	memcpy(process->losses, values, sizeof(values));
	for (size_t i = 0; i < losses->n_cut_reasons && i < STACK_CUT_COUNT; i++)
		process->cut_reasons[i] = losses->cut_reasons[i];
	process->dirty = true;
}

void process_foreign(struct process *process, const Heaptape__ForeignHeap *message)
{
	struct writer *writer = &process->daemon->writer;
	struct statement *set = writer_statement(writer, SQL_PROCESS_FOREIGN);
	char text[PATH_MAX + 128];

	writer_bind(set, { P_process_id, (uint64_t)process->process_id },
		    { P_foreign_symbols, message->symbols });
	writer_bind_text(set, P_foreign_path, message->path);
	writer_run(writer, set);
	if (process->foreign_heaps++ >= FOREIGN_NOTES_MAX)
		return;
	process->run->lost = true;
	snprintf(text, sizeof(text),
		 "%s was loaded into a namespace of its own, with an allocator of its own: what "
		 "that "
		 "gives out is not recorded",
		 message->path);
	writer_note(writer, process->run->run_id, process->process_id,
		    clock_ns(&process->scale, message->ticks), text);
}

void process_end_message(struct process *process, const Heaptape__ProcessEnd *message)
{
	if (message->how <= PROCESS_CUT)
		process->how = (enum process_end)message->how;
	process->exit_code = message->exit_code;
	process->end_ticks = message->ticks;
	if (message->losses)
		process_losses(process, message->losses);
}

uint64_t process_lost_events(const struct process *process)
{
	uint64_t gaps = 0;

	for (uint32_t i = 0; i < process->threads_size; i++)
		if (process->threads[i])
			gaps += process->threads[i]->gaps;
	/* What was dropped leaves gaps, which the memory shows to the last. Without one only later events
	 * do, and what the process has counted may be more. */
	if (process->ring.fd < 0 && process->losses[0] > gaps)
		gaps = process->losses[0];
	return gaps + process->losses[1] + process->discarded_events;
}

void process_poll(struct process *process)
{
	samples_rss(process);
	merge_peek(process, PEEK_ALL);
	merge_run(process);
}

/* What the shared memory says last. */
static void drain(struct process *process)
{
	const struct ring_head *head = &process->ring.head;

	process_read_nodes(process, true);
	merge_peek(process, PEEK_FINAL);
	if (process->ring.fd >= 0) {
		for (int i = 0; i < 6; i++)
			if (head->lost[i] > process->losses[i])
				process->losses[i] = head->lost[i];
		for (int i = 0; i < STACK_CUT_COUNT; i++)
			if (head->cut_reasons[i] > process->cut_reasons[i])
				process->cut_reasons[i] = head->cut_reasons[i];
		if (process->how == PROCESS_RUNNING && head->end_how <= PROCESS_CUT) {
			process->how = (enum process_end)head->end_how;
			process->exit_code = head->end_code;
			process->end_ticks = head->end_ticks;
		}
	}
	merge_flush(process);
}

void process_note_commits(struct process *process)
{
	if (process->commits == process->daemon->writer.commits)
		return;
	process->commits = process->daemon->writer.commits;
	process->stored_events += process->uncommitted_events;
	process->uncommitted_events = 0;
}

void process_cut(struct process *process)
{
	process_note_commits(process);
	process->cut = true;
	process->discarded_events += process->uncommitted_events;
	process->uncommitted_events = 0;
	process->dirty = true;
	ring_control(&process->ring, 0);
}

/* What was added to the database and undone must not be written of. */
static void forget_undone(struct process *process, int64_t first_stack_id)
{
	for (uint32_t i = 0; i < process->node_count; i++)
		if (process->nodes[i].stack_id >= first_stack_id)
			process->nodes[i].stack_id = process->nodes[i].total = 0;
	totals_forget_stacks(&process->totals, first_stack_id);
}

void process_cut_all(struct daemon *daemon)
{
	int64_t first_stack_id;

	if (daemon->failures_seen == daemon->writer.failures)
		return;
	daemon->failures_seen = daemon->writer.failures;
	first_stack_id = stacks_undone(&daemon->stacks);
	for (struct process *process = daemon->processes; process; process = process->next) {
		process_cut(process);
		forget_undone(process, first_stack_id);
	}
}

static void end_in_run(struct process *process, uint64_t ended_ns)
{
	struct run_ending ending = { .process_id = process->process_id,
				     .pid = process->pid,
				     .pidfd = process->pidfd,
				     .how = process->how,
				     .exit_code = process->exit_code,
				     .ended_ns = ended_ns,
				     .has_stacks = process->node_count > 1,
				     .cut = process->cut,
				     .lost = process_lost_events(process) != 0,
				     .had_no_memory = process->ring.fd < 0 };

	process->pidfd = -1;
	run_end_process(process->run, &ending);
}

/* The last rows. On a full disk the small ones come first, and on their own. */
static void save_last(struct process *process, uint64_t ended_ns)
{
	struct daemon *daemon = process->daemon;

	if (process->cut) {
		char text[1200];

		if (daemon->writer.failed) {
			process_cut_all(daemon);
			writer_retry(&daemon->writer);
		}
		save_process_row(process);
		end_in_run(process, ended_ns);
		writer_commit(&daemon->writer);
		snprintf(text, sizeof(text), "recording stopped: %s", daemon->writer.error.text);
		writer_note(&daemon->writer, process->run->run_id, process->process_id,
			    process->last_ns, text);
		writer_commit(&daemon->writer);
		save_process(process, true);
		writer_commit(&daemon->writer);
		process_cut_all(daemon); /* what others had not committed is undone as well */
		if (daemon->writer.failed)
			writer_retry(&daemon->writer);
		return;
	}
	save_process(process, true);
	end_in_run(process, ended_ns);
}

void process_finish(struct process *process)
{
	struct daemon *daemon = process->daemon;
	struct process **link = &daemon->processes;
	uint64_t ended_ns;

	ring_refresh(&process->ring);
	drain(process);
	ended_ns = process->end_ticks ? clock_ns(&process->scale, process->end_ticks)
				      : process->last_ns;
	if (process->how == PROCESS_RUNNING || process->how == PROCESS_VANISHED) {
		process->how = daemon->stopping ? PROCESS_CUT : PROCESS_VANISHED;
		ended_ns = clock_monotonic_ns() - process->run->started_ns;
	}
	if (process->cut)
		process->how = PROCESS_CUT;
	if (ended_ns < process->last_ns)
		ended_ns = process->last_ns;
	samples_add(process, ended_ns);
	chunks_finish(process);
	while (*link != process)
		link = &(*link)->next;
	*link = process->next;
	save_last(process, ended_ns);
	process_free(process);
}
