/*
 * A whole connection to the daemon, with a database behind it. The input's first byte says how many
 * of the others are pieces of 5 bytes for the shared memory (see fuzz_ring.c), and whether a good
 * Hello comes first; the rest is what is sent, in two parts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/server.h"
#include "tests/fuzz/daemon_scene.h"

#define BUFFERS 3u
#define NODES 40u
#define NODES_OFFSET (4096u + BUFFERS * sizeof(struct ring_buffer))
#define MEMORY_BYTES (NODES_OFFSET + NODES * sizeof(struct ring_node))
#define PIECE_BYTES 5u
#define SENT_MAX 60000u
#define ROWS_LIVE 500u /* inputs until the database is emptied */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint8_t *memory; /* the program's side of what it shares */
static int memory_fd;
static uint8_t sent[SENT_MAX + 4096];
static size_t hello_bytes; /* of `sent` that hold the good Hello */

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
	uint32_t classes[] = { 16, 32, 48, 64 };

	hello.wire_version = WIRE_VERSION;
	hello.pid = 4;
	hello.executable = (char *)"x";
	hello.stacks = true;
	hello.size_classes = classes;
	hello.n_size_classes = 4;
	frame.body_case = HEAPTAPE__FRAME__BODY_HELLO;
	frame.hello = &hello;
	hello_bytes = scene_pack(&frame, sent);
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

/* All that is sent, in two parts, and then the end of the connection. */
static void connection(const uint8_t *data, size_t bytes, bool with_memory)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0 ||
	    peer_new(&server.peers, ends[0], 0) != 0)
		abort();
	scene_send(ends[1], data, bytes / 2, with_memory ? memory_fd : -1);
	peer_read(server.peers.first);
	for (struct process *process = server.daemon.processes; process; process = process->next)
		process_poll(process);
	if (server.peers.first) {
		scene_send(ends[1], data + bytes / 2, bytes - bytes / 2, -1);
		shutdown(ends[1], SHUT_WR);
	}
	scene_end();
	close(ends[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static unsigned inputs;
	const uint8_t *pieces = data + 1;
	bool with_memory;
	size_t count;

	if (!server.base) {
		scene_make();
		memory_fd = scene_memory(MEMORY_BYTES, &memory);
		make_hello();
	}
	if (++inputs % ROWS_LIVE == 0)
		scene_clear();
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
