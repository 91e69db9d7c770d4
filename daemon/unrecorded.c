#include "daemon/unrecorded.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/pidfd.h"
#include "daemon/text.h"

struct unrecorded {
	struct daemon *daemon;
	Heaptape__Unrecorded *message;
	uint64_t at_ns; /* CLOCK_MONOTONIC */
	pid_t pid;	/* as the kernel calls it here; 0 unknown */
	int pidfd;
};

static Heaptape__Unrecorded *copy(const Heaptape__Unrecorded *message)
{
	size_t bytes = heaptape__unrecorded__get_packed_size(message);
	uint8_t *packed = malloc(bytes + 1);
	Heaptape__Unrecorded *copied = NULL;

	if (packed) {
		heaptape__unrecorded__pack(message, packed);
		copied = heaptape__unrecorded__unpack(NULL, bytes, packed);
	}
	free(packed);
	return copied;
}

int unrecorded_new(struct daemon *daemon, const Heaptape__Unrecorded *message, int connection,
		   pid_t pid, int *passed_fd, struct unrecorded **ret_unrecorded)
{
	struct unrecorded *unrecorded;

	if (!message->reason ||
	    !run_of(daemon, message->run_token, message->pid, message->parent_pid))
		return -EPROTO;
	unrecorded = calloc(1, sizeof(*unrecorded));
	if (!unrecorded)
		return -ENOMEM;
	unrecorded->daemon = daemon;
	unrecorded->message = copy(message);
	if (!unrecorded->message) {
		free(unrecorded);
		return -ENOMEM;
	}
	unrecorded->at_ns = clock_monotonic_ns();
	if (message->started) {
		unrecorded->pidfd = *passed_fd;
		unrecorded->pid = pidfd_pid(*passed_fd);
		*passed_fd = -1;
	} else {
		unrecorded->pidfd = pidfd_of_peer(connection, pid);
		unrecorded->pid = pid;
	}
	*ret_unrecorded = unrecorded;
	return 0;
}

int unrecorded_take_back(struct unrecorded *unrecorded, const Heaptape__Unrecorded *message)
{
	if (message->reason)
		return -EPROTO;
	unrecorded->message->reason = 0;
	return 0;
}

static struct run *its_run(const struct unrecorded *unrecorded)
{
	const Heaptape__Unrecorded *message = unrecorded->message;

	return run_of(unrecorded->daemon, message->run_token, message->pid, message->parent_pid);
}

bool unrecorded_is_due(const struct unrecorded *unrecorded)
{
	const struct run *run = its_run(unrecorded);

	return !run || (run->ended && !run->running);
}

static void add(struct run *run, const Heaptape__Unrecorded *message, uint64_t at_ns, pid_t pid,
		int pidfd)
{
	char *command = text_command(message->command, message->n_command);

	run_add_unrecorded(run, message, command ? command : message->executable,
			   at_ns - run->started_ns, pid, pidfd);
	free(command);
}

void unrecorded_end(struct unrecorded *unrecorded)
{
	const Heaptape__Unrecorded *message = unrecorded->message;
	struct run *run = message->reason ? its_run(unrecorded) : NULL;

	if (run)
		add(run, message, unrecorded->at_ns, unrecorded->pid, unrecorded->pidfd);
	else if (unrecorded->pidfd >= 0)
		close(unrecorded->pidfd);
	heaptape__unrecorded__free_unpacked(unrecorded->message, NULL);
	free(unrecorded);
}

void unrecorded_program(struct run *run, const Heaptape__Unrecorded *message)
{
	add(run, message, clock_monotonic_ns(), (pid_t)message->pid,
	    (int)syscall(SYS_pidfd_open, message->pid, 0));
}
