#include "daemon/peer.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/commit.h"
#include "daemon/frame.h"
#include "daemon/pidfd.h"
#include "daemon/unrecorded.h"

#define READ_BYTES (256u << 10)
#define READS_AT_ONCE 8
#define READS_OF_THE_DEAD 1024
#define PASSED_MAX 8
#define REPLY_MAX (64u << 10)
/* A stranger's first frame is not longer, and all unfinished frames together are not. */
#define FIRST_FRAME_MAX (128u << 10)
#define REST_BYTES_MAX (256u << 20)

/* All peers are read through this: the rest of an unfinished frame first, then what is new. */
static uint8_t buffer[WIRE_HEADER_BYTES + WIRE_MAX_PAYLOAD + READ_BYTES];

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

void peers_init(struct peers *peers, struct daemon *daemon, struct resolver *resolver,
		const struct peers_calls *calls, void *context)
{
	*peers = (struct peers){ .daemon = daemon,
				 .calls = calls,
				 .context = context,
				 .controls = { .daemon = daemon, .resolver = resolver } };
}

/* -- the connection -- */

static const struct pace_calls pace_calls;

int peer_new(struct peers *peers, int fd, pid_t pid)
{
	struct peer *peer = calloc(1, sizeof(*peer)), **end = &peers->first;

	if (!peer)
		return -ENOMEM;
	peer->all = peers;
	peer->fd = fd;
	peer->pid = pid;
	peer->passed_fd = -1;
	peer->file_fd = -1;
	peer->children.ring.fd = -1;
	peer->connected_ns = clock_monotonic_ns();
	if (!pace_begin(&peer->pace, peers->base, fd, &pace_calls)) {
		free(peer);
		return -ENOMEM;
	}
	peers->had_any = true;
	while (*end)
		end = &(*end)->next;
	*end = peer;
	return 0;
}

static void drop_rest(struct peer *peer)
{
	peer->all->rest_bytes -= peer->rest_bytes;
	peer->rest_bytes = 0;
	free(peer->rest);
	peer->rest = NULL;
}

static void drop_file(struct peer *peer)
{
	if (peer->file_fd >= 0)
		close(peer->file_fd);
	peer->file_fd = -1;
}

/* Its rows are final. */
static void end_process(struct peer *peer)
{
	struct process *process = peer->process;

	if (peer->gone)
		event_free(peer->gone);
	peer->gone = NULL;
	peer->is_gone = false;
	if (peer->bad) {
		char text[256];

		snprintf(text, sizeof(text), "connection of process %d ended: %s",
			 (int)process->pid, peer->bad);
		writer_note(&peer->all->daemon->writer, peer->run->run_id, process->process_id,
			    process->last_ns, text);
	}
	peer->process = NULL;
	process_finish(process);
}

void peer_free(struct peer *peer)
{
	struct peers *peers = peer->all;
	struct peer **link = &peers->first;

	while (*link != peer)
		link = &(*link)->next;
	*link = peer->next;
	pace_end(&peer->pace);
	if (peer->state == PEER_PROGRAM) {
		children_count(&peer->children, peer->run, &peer->process->ring);
		end_process(peer);
	}
	if (peer->state == PEER_LEFT)
		children_done(&peer->children, peer->run);
	if (peer->state == PEER_COMMAND && peer->run)
		run_command_gone(peer->run);
	if (peer->state == PEER_CONTROL)
		control_gone(&peer->control);
	if (peer->state == PEER_UNRECORDED)
		unrecorded_end(peer->unrecorded);
	close(peer->fd);
	if (peer->passed_fd >= 0)
		close(peer->passed_fd);
	drop_file(peer);
	drop_rest(peer);
	free(peer);
	peers->calls->changed(peers->context);
}

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

/* One frame. A negative errno: the peer may not go on. */
static int take_frame(struct peer *peer, const Heaptape__Frame *frame, struct slab **slabs)
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

/* All whole frames at the start of the buffer. Returns the bytes used. */
static size_t take_frames(struct peer *peer, size_t have)
{
	struct slab *slabs = NULL;
	size_t at = 0;

	while (!peer->bad) {
		Heaptape__Frame *frame;
		uint32_t payload;
		int whole = frame_look(buffer + at, have - at, &payload), error;

		if (whole < 0)
			peer->bad = "sent a frame of impossible length";
		if (whole <= 0)
			break;
		error = frame_decode(buffer + at + WIRE_HEADER_BYTES, payload, &slabs, &frame);
		if (error)
			peer->bad = "sent what is not a frame";
		else if (take_frame(peer, frame, &slabs) != 0 && !peer->bad)
			peer->bad = "sent a frame that cannot be true, or out of its place";
		slab_release(&slabs);
		at += WIRE_HEADER_BYTES + payload;
	}
	return at;
}

/* Keeps the beginning of the next frame. */
static void keep_rest(struct peer *peer, const uint8_t *data, size_t bytes)
{
	drop_rest(peer);
	if (!bytes || peer->bad)
		return;
	if (peer->state == PEER_NEW && bytes > FIRST_FRAME_MAX) {
		peer->bad = "sent a first frame that is too long";
		return;
	}
	if (peer->all->rest_bytes + bytes <= REST_BYTES_MAX)
		peer->rest = malloc(bytes);
	if (!peer->rest) {
		peer->bad = "no memory for its frame";
		return;
	}
	memcpy(peer->rest, data, bytes);
	peer->rest_bytes = bytes;
	peer->all->rest_bytes += bytes;
}

/* A descriptor that came along is another connection: then it is a peer now, or closed. */
static bool take_child(struct peer *parent, int fd)
{
	pid_t pid;

	if (!children_is_connection(fd, &pid))
		return false;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || peer_new(parent->all, fd, pid) != 0) {
		close(fd);
		children_lost(parent->run);
	}
	return true;
}

/* Takes a descriptor that came along: another connection, a module's file, or, before the first frame is
 * taken, the memory. Returns the bytes that came with it and are no part of the stream (proto/wire.h);
 * `last` is the last one that came. */
static size_t take_descriptors(struct peer *peer, struct msghdr *message, uint8_t last)
{
	size_t apart = 0;

	if ((message->msg_flags & MSG_CTRUNC) && peer->state != PEER_NEW && !last) {
		children_lost(peer->run);
		apart = 1;
	}
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part;
	     part = CMSG_NXTHDR(message, part)) {
		size_t count;

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
			if (take_child(peer, fd))
				apart = 1;
			else if (peer->passed_fd < 0 && peer->state == PEER_NEW)
				peer->passed_fd = fd;
			else if (peer->file_fd < 0 && peer->state == PEER_PROGRAM)
				peer->file_fd = fd;
			else
				close(fd);
		}
	}
	return apart;
}

/* As recv(2), with what came besides taken care of. */
static ssize_t receive(struct peer *peer, uint8_t *to, size_t bytes, size_t *ret_apart)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(PASSED_MAX * sizeof(int))];
	} control;
	struct iovec part = { to, bytes };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.room,
				  .msg_controllen = sizeof(control.room) };
	ssize_t got = recvmsg(peer->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*ret_apart = got > 0 ? take_descriptors(peer, &message, to[got - 1]) : 0;
	if (got >= 0 && (message.msg_flags & MSG_CTRUNC))
		peer->lost_fds = true;
	return got;
}

/* False: it was all, and the peer is gone. */
static bool read_some(struct peer *peer)
{
	bool closed = false;

	for (int i = 0; i < READS_AT_ONCE && !peer->bad; i++) {
		size_t have = peer->rest_bytes, used, apart;
		ssize_t got;

		if (have)
			memcpy(buffer, peer->rest, have);
		got = receive(peer, buffer + have, sizeof(buffer) - have, &apart);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (got <= 0) {
			closed = true;
			break;
		}
		peer->read_bytes += (uint64_t)got;
		if (peer->state == PEER_LEFT)
			continue; /* a child's; nobody knows it */
		have += (size_t)got - apart;
		used = take_frames(peer, have);
		keep_rest(peer, buffer + used, have - used);
		if (peer->process) {
			merge_run(peer->process);
			samples_rss(peer->process);
		}
		commit_due(peer->all->daemon);
	}
	if (!closed && !peer->bad)
		return true;
	peer_free(peer);
	return false;
}

void peer_gone(struct peer *peer)
{
	struct peers *peers = peer->all;
	char byte;

	for (int i = 0; i < READS_OF_THE_DEAD; i++) {
		if (recv(peer->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
			break;
		if (!read_some(peer))
			return;
	}
	if (peer->state == PEER_PROGRAM) {
		children_await(&peer->children, peer->run, &peer->process->ring);
		end_process(peer);
		peer->state = PEER_LEFT;
	} else {
		peer_free(peer);
	}
	peers->calls->changed(peers->context);
}

#define ELDERS_NS 1000000000u

/* A parent is known before its child: new peers that came earlier say first who they are, and what a
 * process was before. One that said nothing for long has nothing to say. */
static void hear_elders(const struct peer *peer)
{
	struct peer *elder, *next;

	for (elder = peer->all->first; elder != peer; elder = next) {
		next = elder->next;
		if ((elder->state == PEER_NEW || elder->state == PEER_UNRECORDED) &&
		    peer->connected_ns - elder->connected_ns < ELDERS_NS)
			read_some(elder);
	}
}

bool peer_read(struct peer *peer)
{
	if (peer->state == PEER_NEW)
		hear_elders(peer);
	return read_some(peer);
}

static int64_t read_cb(struct pace *pace, bool *ret_streams)
{
	struct peer *peer = (struct peer *)((char *)pace - offsetof(struct peer, pace));
	uint64_t before = peer->read_bytes;

	if (!peer_read(peer))
		return -ECONNRESET;
	*ret_streams = peer->state == PEER_PROGRAM;
	return (int64_t)(peer->read_bytes - before);
}

static const struct pace_calls pace_calls = { .read = read_cb };
