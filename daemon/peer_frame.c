/* What a peer's frames mean, and what is answered. */
#include "daemon/peer.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "daemon/pidfd.h"
#include "daemon/unrecorded.h"
#include "proto/wire.h"

#define REPLY_MAX (64u << 10)

/* -- answers -- */

static void send_frame(struct peer *peer, const Heaptape__Frame *frame)
{
	static uint8_t out[WIRE_HEADER_BYTES + REPLY_MAX];
	size_t bytes = heaptape__frame__get_packed_size(frame);

	if (bytes > REPLY_MAX)
		return;
	heaptape__frame__pack(frame, out + WIRE_HEADER_BYTES);
	for (int i = 0; i < WIRE_HEADER_BYTES; i++)
		out[i] = (uint8_t)(bytes >> (8 * i));
	bytes += WIRE_HEADER_BYTES;
	/* A peer that is gone already still has its last frames to be read. */
	if (send(peer->fd, out, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)bytes &&
	    errno != EPIPE && errno != ECONNRESET && !peer->bad)
		peer->bad = "does not read what it is told";
}

static void send_control(struct peer *peer, bool recording, const char *message)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__Control control = HEAPTAPE__CONTROL__INIT;

	control.recording = recording;
	control.message = (char *)message;
	frame.body_case = HEAPTAPE__FRAME__BODY_CONTROL;
	frame.control = &control;
	send_frame(peer, &frame);
}

static void send_run_reply(struct peer *peer, const struct run *run, const char *error)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__RunReply reply = HEAPTAPE__RUN_REPLY__INIT;
	char absolute[PATH_MAX];
	const char *database = peer->all->daemon->writer.path;

	if (realpath(database, absolute))
		database = absolute;

	reply.run_id = run ? (uint64_t)run->run_id : 0;
	reply.run_token = run ? run->token : 0;
	reply.error = (char *)error;
	reply.database = (char *)database;
	frame.body_case = HEAPTAPE__FRAME__BODY_RUN_REPLY;
	frame.run_reply = &reply;
	send_frame(peer, &frame);
}

static void run_done(struct run_command *command, int64_t run_id, unsigned still_running)
{
	struct peer *peer = (struct peer *)((char *)command - offsetof(struct peer, command));
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__RunDone done = HEAPTAPE__RUN_DONE__INIT;

	done.run_id = (uint64_t)run_id;
	done.still_running = still_running;
	frame.body_case = HEAPTAPE__FRAME__BODY_RUN_DONE;
	frame.run_done = &done;
	send_frame(peer, &frame);
	if (!still_running)
		peer->run = NULL; /* its run is about to be freed */
}

/* -- frames -- */

static void gone_cb(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	peer_gone(context);
}

/* The event that tells of its process's end; NULL when it cannot be told. */
static struct event *watch_end(struct peer *peer, int pidfd)
{
	struct event *event =
		pidfd < 0 ? NULL : event_new(peer->all->base, pidfd, EV_READ, gone_cb, peer);

	if (event && event_add(event, NULL) != 0) {
		event_free(event);
		return NULL;
	}
	return event;
}

static int take_hello(struct peer *peer, const Heaptape__Hello *hello)
{
	struct daemon *daemon = peer->all->daemon;
	const char *why = "the database cannot be written";
	struct run *run = NULL;
	char text[256];
	int error = 0;

	if (hello->wire_version != WIRE_VERSION) {
		snprintf(text, sizeof(text),
			 "heaptaped %s speaks protocol %u, the program's library %s speaks %u; "
			 "use parts of one release",
			 HEAPTAPE_VERSION, WIRE_VERSION, hello->shim_version, hello->wire_version);
		send_control(peer, false, text);
		writer_note(&daemon->writer, 0, 0, 0, text);
		return -EPROTONOSUPPORT;
	}
	error = run_of_process(daemon, hello, &run);
	if (!error && *hello->obstacle) {
		why = hello->obstacle;
		error = -ECANCELED;
	} else if (!error && peer->lost_fds) {
		/* Its last events would be lost without anybody's noticing. */
		why = "heaptaped has no descriptor left";
		error = -EMFILE;
	} else if (!error) {
		error = process_new(daemon, run, hello, peer->passed_fd, peer->pid,
				    pidfd_of_peer(peer->fd, peer->pid), &peer->process, &why);
	}
	if (error && run)
		run_refused(run, hello, why);
	if (error) {
		send_control(peer, false, why);
		return error;
	}
	if (peer->process->ring.fd >= 0)
		peer->passed_fd = -1; /* the process's now */
	peer->children.process_id = peer->process->process_id;
	peer->run = run;
	peer->state = PEER_PROGRAM;
	peer->gone = watch_end(peer, peer->process->pidfd);
	peer->is_gone = peer->process->pidfd < 0 && peer->pid > 0 && kill(peer->pid, 0) != 0 &&
			errno == ESRCH;
	send_control(peer, true, "");
	return 0;
}

static void send_answer(struct control *control, const Heaptape__Frame *frame)
{
	send_frame((struct peer *)((char *)control - offsetof(struct peer, control)), frame);
}

static int take_control(struct peer *peer, const Heaptape__RunControl *message)
{
	static const struct control_calls calls = { .send = send_answer };

	peer->state = PEER_CONTROL;
	return control_request(&peer->all->controls, &peer->control, &calls, message);
}

static int take_unrecorded(struct peer *peer, const Heaptape__Unrecorded *message)
{
	int error = unrecorded_new(peer->all->daemon, message, peer->fd, peer->pid,
				   &peer->passed_fd, &peer->unrecorded);

	if (!error)
		peer->state = PEER_UNRECORDED;
	return error;
}

static int take_run_start(struct peer *peer, const Heaptape__RunStart *message)
{
	struct daemon *daemon = peer->all->daemon;
	char text[1200];

	if (message->wire_version != WIRE_VERSION) {
		snprintf(
			text, sizeof(text),
			"heaptaped %s speaks protocol %u, the command %u; use parts of one release",
			HEAPTAPE_VERSION, WIRE_VERSION, message->wire_version);
		send_run_reply(peer, NULL, text);
		return -EPROTONOSUPPORT;
	}
	peer->command.done = run_done;
	if (run_start(daemon, message, &peer->command, &peer->run) != 0) {
		snprintf(text, sizeof(text), "%s", daemon->writer.error.text);
		send_run_reply(peer, NULL, text[0] ? text : "out of memory");
		return -EIO;
	}
	peer->state = PEER_COMMAND;
	send_run_reply(peer, peer->run, "");
	return 0;
}

int peer_frame(struct peer *peer, const Heaptape__Frame *frame, struct slab **slabs)
{
	struct process *process = peer->process;

	switch (peer->state) {
	case PEER_NEW:
		if (frame->body_case == HEAPTAPE__FRAME__BODY_HELLO)
			return take_hello(peer, frame->hello);
		if (frame->body_case == HEAPTAPE__FRAME__BODY_RUN_START)
			return take_run_start(peer, frame->run_start);
		if (frame->body_case == HEAPTAPE__FRAME__BODY_RUN_CONTROL)
			return take_control(peer, frame->run_control);
		if (frame->body_case == HEAPTAPE__FRAME__BODY_UNRECORDED)
			return take_unrecorded(peer, frame->unrecorded);
		return -EPROTO;
	case PEER_UNRECORDED:
		if (frame->body_case == HEAPTAPE__FRAME__BODY_UNRECORDED)
			return unrecorded_take_back(peer->unrecorded, frame->unrecorded);
		return -EPROTO;
	case PEER_LEFT:
	case PEER_CONTROL:
		return -EPROTO;
	case PEER_COMMAND:
		if (frame->body_case == HEAPTAPE__FRAME__BODY_UNRECORDED && peer->run) {
			unrecorded_program(peer->run, frame->unrecorded);
			return 0;
		}
		if (frame->body_case != HEAPTAPE__FRAME__BODY_RUN_END || !peer->run ||
		    peer->run->ended)
			return -EPROTO;
		run_end(peer->run, frame->run_end);
		peer->all->calls->changed(peer->all->context);
		return 0;
	case PEER_PROGRAM:
		break;
	}
	switch (frame->body_case) {
	case HEAPTAPE__FRAME__BODY_BATCH:
		return process_batch(process, frame->batch, slabs);
	case HEAPTAPE__FRAME__BODY_STACK_NODES:
		return process_nodes(process, frame->stack_nodes);
	case HEAPTAPE__FRAME__BODY_MODULE:
		return process_module(process, frame->module);
	case HEAPTAPE__FRAME__BODY_MODULE_FILE:
		if (peer->file_fd >= 0)
			kept_offer(&process->daemon->kept, &process->kept_user, peer->file_fd);
		peer->file_fd = -1; /* the keeper's now */
		return 0;
	case HEAPTAPE__FRAME__BODY_THREAD_START:
		return process_thread_start(process, frame->thread_start);
	case HEAPTAPE__FRAME__BODY_THREAD_END:
		return process_thread_end(process, frame->thread_end);
	case HEAPTAPE__FRAME__BODY_LOSSES:
		process_losses(process, frame->losses);
		return 0;
	case HEAPTAPE__FRAME__BODY_MISUSE:
		return process_misuse(process, frame->misuse);
	case HEAPTAPE__FRAME__BODY_MARK:
		return mark_name(process, frame->mark);
	case HEAPTAPE__FRAME__BODY_FOREIGN_HEAP:
		process_foreign(process, frame->foreign_heap);
		return 0;
	case HEAPTAPE__FRAME__BODY_PROCESS_END:
		process_end_message(process, frame->process_end);
		return 0;
	default:
		return -EPROTO;
	}
}
