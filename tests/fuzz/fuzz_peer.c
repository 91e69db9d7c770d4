/*
 * A whole connection to the daemon, with a database behind it. The input's first byte says how many
 * of the others are pieces of 5 bytes for the shared memory (see fuzz_ring.c), and whether a good
 * Hello comes first; the rest is what is sent, in two parts.
 */
#include <event2/event.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/run.h"
#include "daemon/server.h"
#include "proto/wire.h"

#define BUFFERS 4u
#define NODES 256u
#define NODES_OFFSET (4096u + BUFFERS * sizeof(struct ring_buffer))
#define MEMORY_BYTES (NODES_OFFSET + NODES * sizeof(struct ring_node))
#define PIECE_BYTES 5u
#define SENT_MAX 60000u
#define ROWS_LIVE 500u /* inputs until the database is emptied */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct server_options options;
static struct server server = { .options = &options, .listen_fd = -1 };
static char path[64];

static void settle_cb(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)context;
}

/* Open, it needs no names. */
static void unlink_all(const char *database)
{
	static const char *const tails[] = { "", "-wal", "-shm" };
	char file[96];

	for (unsigned i = 0; i < 3; i++) {
		snprintf(file, sizeof(file), "%s%s", database, tails[i]);
		unlink(file);
	}
}

static void make(void)
{
	struct store_error error;

	snprintf(path, sizeof(path), "/dev/shm/heaptape-fuzz-%d.db", (int)getpid());
	unlink_all(path);
	options.db_path = path;
	batch_setup();
	server.base = event_base_new();
	server.settle = event_new(server.base, -1, 0, settle_cb, NULL);
	if (writer_open(&server.daemon.writer, path, &error) != 0)
		abort();
	unlink_all(path);
	sqlite3_exec(server.daemon.writer.db, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
	stacks_init(&server.daemon.stacks, &server.daemon.writer);
	server.daemon.press = chunk_press_new();
}

static void clear(void)
{
	static const char sql[] =
		"DELETE FROM runs; DELETE FROM processes; DELETE FROM threads;"
		"DELETE FROM modules; DELETE FROM mappings; DELETE FROM frames;"
		"DELETE FROM stacks; DELETE FROM stack_totals; DELETE FROM notes;"
		"DELETE FROM size_histogram; DELETE FROM samples;"
		"DELETE FROM chunks; DELETE FROM misuses; PRAGMA wal_checkpoint(TRUNCATE)";

	stacks_release(&server.daemon.stacks);
	writer_commit(&server.daemon.writer); /* no checkpoint inside a transaction */
	if (sqlite3_exec(server.daemon.writer.db, sql, NULL, NULL, NULL) != SQLITE_OK)
		abort();
}

static int make_memory(const uint8_t *pieces, unsigned count)
{
	struct ring_head head = { .magic = RING_MAGIC,
				  .version = RING_VERSION,
				  .buffer_count = BUFFERS,
				  .buffer_stride_bytes = sizeof(struct ring_buffer),
				  .buffers_offset = 4096,
				  .nodes_offset = NODES_OFFSET,
				  .node_capacity = NODES,
				  .buffers_used = BUFFERS,
				  .nodes_used = NODES };
	int fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, MEMORY_BYTES) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0 ||
	    pwrite(fd, &head, sizeof(head), 0) != sizeof(head))
		abort();
	for (; count; count--, pieces += PIECE_BYTES) {
		uint8_t same[256];
		size_t where = (size_t)(pieces[0] | pieces[1] << 8 | pieces[2] << 16);

		memset(same, pieces[4], sizeof(same));
		if (pwrite(fd, same, 1u + pieces[3], (off_t)(where % MEMORY_BYTES)) < 0)
			abort();
	}
	return fd;
}

static size_t good_hello(uint8_t *to)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__Hello hello = HEAPTAPE__HELLO__INIT;
	uint32_t classes[] = { 16, 32, 48, 64 }, bytes;

	hello.wire_version = WIRE_VERSION;
	hello.pid = 4;
	hello.executable = (char *)"x";
	hello.stacks = true;
	hello.size_classes = classes;
	hello.n_size_classes = 4;
	frame.body_case = HEAPTAPE__FRAME__BODY_HELLO;
	frame.hello = &hello;
	bytes = (uint32_t)heaptape__frame__pack(&frame, to + WIRE_HEADER_BYTES);
	memcpy(to, &bytes, sizeof(bytes));
	return WIRE_HEADER_BYTES + bytes;
}

static void send_with(int fd, const uint8_t *data, size_t bytes, int passed_fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS } };
	struct iovec part = { (void *)(uintptr_t)data, bytes };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = passed_fd >= 0 ? &control : NULL,
				  .msg_controllen = passed_fd >= 0 ? sizeof(control) : 0 };

	memcpy(CMSG_DATA(&control.head), &passed_fd, sizeof(passed_fd));
	if (bytes && sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return; /* it has been thrown out */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static uint8_t sent[SENT_MAX + 4096];
	static unsigned inputs;
	size_t used = 0, pieces;
	int ends[2], memory_fd = -1;

	if (!server.base)
		make();
	if (++inputs % ROWS_LIVE == 0)
		clear();
	if (!bytes)
		return 0;
	pieces = data[0] >> 2;
	if (pieces * PIECE_BYTES >= bytes)
		pieces = (bytes - 1) / PIECE_BYTES;
	if (data[0] & 1)
		memory_fd = make_memory(data + 1, (unsigned)pieces);
	if (data[0] & 2)
		used = good_hello(sent);
	data += 1 + pieces * PIECE_BYTES;
	bytes -= 1 + pieces * PIECE_BYTES;
	if (bytes > SENT_MAX)
		bytes = SENT_MAX;
	memcpy(sent + used, data, bytes);
	used += bytes;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0 ||
	    peer_new(&server, ends[0], 0) != 0)
		abort();
	send_with(ends[1], sent, used / 2, memory_fd);
	peer_read(server.peers);
	for (struct process *process = server.daemon.processes; process; process = process->next)
		process_poll(process);
	if (server.peers) {
		send_with(ends[1], sent + used / 2, used - used / 2, -1);
		shutdown(ends[1], SHUT_WR);
	}
	while (server.peers)
		peer_read(server.peers);
	while (server.daemon.runs) {
		struct run *run = server.daemon.runs;

		run->ended_mono_ns = 0;
		run_check(run, false);
		if (server.daemon.runs == run)
			abort();
	}
	if (server.daemon.processes || server.daemon.writer.failures)
		abort();
	close(ends[1]);
	if (memory_fd >= 0)
		close(memory_fd);
	return 0;
}
