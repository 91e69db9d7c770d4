#include "daemon/peer.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/commit.h"
#include "daemon/frame.h"
#include "daemon/unrecorded.h"

#define READ_BYTES (256u << 10)
#define READS_AT_ONCE 8
#define READS_OF_THE_DEAD 1024
#define PASSED_MAX 8
/* A stranger's first frame is not longer, and all unfinished frames together are not. */
#define FIRST_FRAME_MAX (128u << 10)
#define REST_BYTES_MAX (256u << 20)

/* All peers are read through this: the rest of an unfinished frame first, then what is new. */
static uint8_t buffer[WIRE_HEADER_BYTES + WIRE_MAX_PAYLOAD + READ_BYTES];

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
		else if (peer_frame(peer, frame, &slabs) != 0 && !peer->bad)
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
