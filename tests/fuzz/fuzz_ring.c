/*
 * The shared memory of a hostile program, as the daemon reads it. The input: bytes of the head, of
 * one buffer's head, and then pieces to be put somewhere in the memory: where (3 bytes), how often
 * the byte is repeated (1), the byte. The memory starts out as a good program would have made it,
 * and the second half of the pieces is put there between the daemon's looks.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/ring.h"

#define BUFFERS 2u
#define NODES 64u
#define NODES_OFFSET (4096u + BUFFERS * sizeof(struct ring_buffer))
#define MEMORY_BYTES (NODES_OFFSET + NODES * sizeof(struct ring_node))
#define PIECE_BYTES 5u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint8_t *memory;
static int memory_fd;

static void make(void)
{
	memory_fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memory_fd < 0 || ftruncate(memory_fd, MEMORY_BYTES) != 0 ||
	    fcntl(memory_fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0)
		abort();
	memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	if (memory == MAP_FAILED)
		abort();
	batch_setup();
}

static struct ring_buffer *buffer_at(uint32_t slot)
{
	return (struct ring_buffer *)(memory + 4096 + slot * sizeof(struct ring_buffer));
}

static void fill(void)
{
	static const uint8_t kinds[] = { EVENT_MALLOC, EVENT_FREE, EVENT_REALLOC,
					 EVENT_SBRK | EVENT_BY_ALLOCATOR };
	struct ring_head head = { .magic = RING_MAGIC,
				  .version = RING_VERSION,
				  .buffer_count = BUFFERS,
				  .buffer_stride_bytes = sizeof(struct ring_buffer),
				  .buffers_offset = 4096,
				  .nodes_offset = NODES_OFFSET,
				  .node_capacity = NODES,
				  .buffers_used = BUFFERS,
				  .nodes_used = NODES };

	memcpy(memory, &head, sizeof(head));
	for (uint32_t slot = 0; slot < BUFFERS; slot++) {
		struct ring_buffer *buffer = buffer_at(slot);

		memset(buffer, 0, offsetof(struct ring_buffer, ticks));
		buffer->thread = slot + 1;
		buffer->count = 64;
		for (uint32_t i = 0; i < 64; i++) {
			buffer->kinds[i] = kinds[i % 4];
			buffer->classes[i] = 1;
		}
		buffer->details_used = 16 * (2 + 5 + 2);
	}
	for (uint32_t i = 0; i < NODES; i++)
		((struct ring_node *)(memory + NODES_OFFSET))[i] =
			(struct ring_node){ .pc = i, .parent = i / 2 };
}

static void put(const uint8_t **data, size_t *bytes)
{
	const uint8_t *at = *data;
	size_t where = (size_t)(at[0] | at[1] << 8 | at[2] << 16) % MEMORY_BYTES;
	size_t times = 1 + (size_t)at[3] * at[3];

	memset(memory + where, at[4], times < MEMORY_BYTES - where ? times : MEMORY_BYTES - where);
	*data += PIECE_BYTES;
	*bytes -= PIECE_BYTES;
}

/* What comes out holds what the reader promises. */
static uint64_t walk(struct batch *batch)
{
	uint64_t sum = 0;

	if (!batch->count || batch->count > RING_EVENTS || batch_check(batch, 255) != 0)
		abort();
	for (; batch->at < batch->count; batch_skip(batch, 1)) {
		unsigned details = batch_event_details(batch, batch->at);

		sum += batch->ticks[batch->at] ^ batch->addresses[batch->at];
		sum += batch->sizes[batch->at] + batch->stacks[batch->at];
		for (unsigned i = 0; i < details; i++)
			sum += batch->details[batch->details_at + i];
	}
	return sum;
}

static uint64_t look(struct ring *ring)
{
	static struct ring_node nodes[NODES + 8];
	uint64_t sum = 0;
	int count;

	ring_refresh(ring);
	for (uint32_t slot = 0; slot < ring->head.buffers_used; slot++) {
		struct ring_buffer_head head;
		struct batch batch;

		if (ring_read_buffer_head(ring, slot, &head) != 0)
			continue;
		for (uint64_t from = 0; from < 200; from += 50)
			if (ring_read_events(ring, slot, &head, head.first_seq + from, &batch) ==
			    0) {
				struct slab *slabs = batch.slabs;

				sum += walk(&batch);
				slab_release(&slabs);
			}
		if (slot > 4)
			break;
	}
	count = ring_read_nodes(ring, ring->head.nodes_sent, nodes, NODES + 8);
	for (int i = 0; i < count; i++)
		sum += nodes[i].pc + nodes[i].parent;
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct ring ring = { .fd = -1 };
	size_t pieces;
	uint64_t sum;

	if (!memory)
		make();
	fill();
	if (bytes && data[0] & 1 && bytes > 1 + sizeof(struct ring_head)) {
		memcpy(memory, data + 1, sizeof(struct ring_head));
		data += sizeof(struct ring_head);
		bytes -= sizeof(struct ring_head);
	}
	if (bytes) {
		data++;
		bytes--;
	}
	if (bytes > RING_BUFFER_HEADER_BYTES) {
		memcpy(buffer_at(1), data, RING_BUFFER_HEADER_BYTES);
		data += RING_BUFFER_HEADER_BYTES;
		bytes -= RING_BUFFER_HEADER_BYTES;
	}
	pieces = bytes / PIECE_BYTES;
	for (size_t i = 0; i < pieces / 2; i++)
		put(&data, &bytes);
	if (ring_open(&ring, memory_fd) != 0)
		return 0;
	sum = look(&ring);
	while (bytes >= PIECE_BYTES)
		put(&data, &bytes);
	sum += look(&ring);
	__asm__ volatile("" : : "r"(sum)); /* what was read was wanted */
	return 0;
}
