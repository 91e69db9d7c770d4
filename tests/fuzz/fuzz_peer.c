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
#include "tests/fuzz/quick_sqlite.h"

#define BUFFERS 3u
#define NODES 40u
#define NODES_OFFSET (4096u + BUFFERS * sizeof(struct ring_buffer))
#define MEMORY_BYTES (NODES_OFFSET + NODES * sizeof(struct ring_node))
#define PIECE_BYTES 5u
#define SENT_MAX 60000u
#define ROWS_LIVE 500u /* inputs until the database is emptied */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct server_options options;
static struct server server = { .options = &options, .listen_fd = -1 };
static uint8_t *memory; /* the program's side of what it shares */
static int memory_fd;
static uint8_t sent[SENT_MAX + 4096];
static size_t hello_bytes; /* of `sent` that hold the good Hello */

static void settle_cb(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)context;
}

static const struct ring_head good_head = { .magic = RING_MAGIC,
					    .version = RING_VERSION,
					    .buffer_count = BUFFERS,
					    .buffer_stride_bytes = sizeof(struct ring_buffer),
					    .buffers_offset = 4096,
					    .nodes_offset = NODES_OFFSET,
					    .node_capacity = NODES,
					    .buffers_used = BUFFERS,
					    .nodes_used = NODES };

static void make_hello(void)
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
	bytes = (uint32_t)heaptape__frame__pack(&frame, sent + WIRE_HEADER_BYTES);
	memcpy(sent, &bytes, sizeof(bytes));
	hello_bytes = WIRE_HEADER_BYTES + bytes;
}

/* Nobody dispatches the loop, and with a list of changes nobody tells the kernel of it either. */
static struct event_base *make_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

/* The scene, set once. The database is in memory: what it does with a disk is not asked here. */
static void make(void)
{
	struct store_error error;

	quick_sqlite();
	options.db_path = ":memory:";
	batch_setup();
	server.base = make_base();
	server.settle = event_new(server.base, -1, 0, settle_cb, NULL);
	if (writer_open(&server.daemon.writer, options.db_path, &error) != 0)
		abort();
	/* Nothing is ever rolled back: a write that fails is a find. */
	sqlite3_exec(server.daemon.writer.db, "PRAGMA journal_mode=OFF", NULL, NULL, NULL);
	stacks_init(&server.daemon.stacks, &server.daemon.writer);
	server.daemon.press = chunk_press_new();
	memory_fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memory_fd < 0 || ftruncate(memory_fd, MEMORY_BYTES) != 0 ||
	    fcntl(memory_fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0)
		abort();
	memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	if (memory == MAP_FAILED)
		abort();
	make_hello();
}

static void clear(void)
{
	static const char sql[] = "DELETE FROM runs; DELETE FROM processes; DELETE FROM threads;"
				  "DELETE FROM modules; DELETE FROM mappings; DELETE FROM frames;"
				  "DELETE FROM stacks; DELETE FROM stack_totals; DELETE FROM notes;"
				  "DELETE FROM size_histogram; DELETE FROM samples;"
				  "DELETE FROM chunks; DELETE FROM misuses";

	stacks_release(&server.daemon.stacks);
	writer_commit(&server.daemon.writer);
	if (sqlite3_exec(server.daemon.writer.db, sql, NULL, NULL, NULL) != SQLITE_OK)
		abort();
}

/* Puts the pieces into the memory, or zeros where they were put. */
static void put_pieces(const uint8_t *pieces, unsigned count, bool remove)
{
	for (; count; count--, pieces += PIECE_BYTES) {
		size_t where = (size_t)(pieces[0] | pieces[1] << 8 | pieces[2] << 16);
		size_t times = 1u + pieces[3];

		where %= MEMORY_BYTES;
		if (times > MEMORY_BYTES - where)
			times = MEMORY_BYTES - where;
		memset(memory + where, remove ? 0 : pieces[4], times);
	}
}

/* As it was before the input: without its pieces and what the daemon wrote, which is where the head
 * said. */
static void clean_memory(const uint8_t *pieces, unsigned count)
{
	struct ring_head head;

	memcpy(&head, memory, sizeof(head));
	head.control = 0;
	if (memcmp(&head, &good_head, sizeof(head)) != 0) {
		memset(memory, 0, MEMORY_BYTES);
		return;
	}
	put_pieces(pieces, count, true);
	for (size_t i = 0; i < BUFFERS; i++)
		memset(memory + 4096 + i * sizeof(struct ring_buffer), 0,
		       offsetof(struct ring_buffer, ticks));
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

/* All that is sent, in two parts, and then the end of the connection. */
static void connection(const uint8_t *data, size_t bytes, bool with_memory)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0 ||
	    peer_new(&server, ends[0], 0) != 0)
		abort();
	send_with(ends[1], data, bytes / 2, with_memory ? memory_fd : -1);
	peer_read(server.peers);
	for (struct process *process = server.daemon.processes; process; process = process->next)
		process_poll(process);
	if (server.peers) {
		send_with(ends[1], data + bytes / 2, bytes - bytes / 2, -1);
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
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static unsigned inputs;
	const uint8_t *pieces = data + 1;
	bool with_memory;
	size_t count;

	if (!server.base)
		make();
	if (++inputs % ROWS_LIVE == 0)
		clear();
	if (!bytes)
		return 0;
	with_memory = data[0] & 1;
	count = data[0] >> 2;
	if (count * PIECE_BYTES >= bytes)
		count = (bytes - 1) / PIECE_BYTES;
	bytes -= 1 + count * PIECE_BYTES;
	if (bytes > SENT_MAX)
		bytes = SENT_MAX;
	memcpy(sent + hello_bytes, pieces + count * PIECE_BYTES, bytes);
	if (with_memory) {
		memcpy(memory, &good_head, sizeof(good_head));
		put_pieces(pieces, (unsigned)count, false);
	}
	if (data[0] & 2)
		connection(sent, hello_bytes + bytes, with_memory);
	else
		connection(sent + hello_bytes, bytes, with_memory);
	if (with_memory)
		clean_memory(pieces, (unsigned)count);
	return 0;
}
