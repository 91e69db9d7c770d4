#include "daemon/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_at(int fd, void *to, size_t bytes, uint64_t offset)
{
	ssize_t got;

	do {
		got = pread(fd, to, bytes, (off_t)offset);
	} while (got < 0 && errno == EINTR);
	return got == (ssize_t)bytes ? 0 : -EPROTO;
}

int ring_open(struct ring *ring, int fd)
{
	struct ring_head head;
	struct stat status;
	int seals = fcntl(fd, F_GET_SEALS);
	uint64_t bytes;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &status) != 0)
		return -EPROTO;
	if (read_at(fd, &head, sizeof(head), 0) != 0)
		return -EPROTO;
	bytes = (uint64_t)status.st_size;
	if (head.magic != RING_MAGIC || head.version != RING_VERSION ||
	    head.buffer_count > RING_BUFFERS_MAX || head.node_capacity > RING_NODES_MAX ||
	    head.buffer_stride_bytes % 8 || head.buffer_stride_bytes < sizeof(struct ring_buffer) ||
	    head.buffers_offset < sizeof(head) || head.buffers_offset > bytes ||
	    (uint64_t)head.buffer_count * head.buffer_stride_bytes > bytes - head.buffers_offset ||
	    head.nodes_offset < sizeof(head) || head.nodes_offset > bytes ||
	    (uint64_t)head.node_capacity * sizeof(struct ring_node) > bytes - head.nodes_offset)
		return -EPROTO;
	ring->fd = fd;
	ring->head = head;
	return 0;
}

void ring_close(struct ring *ring)
{
	if (ring->fd >= 0)
		close(ring->fd);
	ring->fd = -1;
}

int ring_refresh(struct ring *ring)
{
	struct ring_head head;

	if (ring->fd < 0)
		return -ENODATA;
	if (read_at(ring->fd, &head, sizeof(head), 0) != 0 ||
	    head.buffer_count != ring->head.buffer_count ||
	    head.buffer_stride_bytes != ring->head.buffer_stride_bytes ||
	    head.buffers_offset != ring->head.buffers_offset ||
	    head.nodes_offset != ring->head.nodes_offset ||
	    head.node_capacity != ring->head.node_capacity)
		return -EPROTO;
	if (head.buffers_used > head.buffer_count)
		head.buffers_used = head.buffer_count;
	if (head.nodes_used > head.node_capacity)
		head.nodes_used = head.node_capacity;
	ring->head = head;
	return 0;
}

int ring_control(const struct ring *ring, uint32_t control)
{
	if (ring->fd < 0)
		return -ENODATA;
	if (pwrite(ring->fd, &control, sizeof(control), offsetof(struct ring_head, control)) !=
	    sizeof(control))
		return -errno;
	return 0;
}

static uint64_t buffer_offset(const struct ring *ring, uint32_t slot)
{
	return ring->head.buffers_offset + (uint64_t)slot * ring->head.buffer_stride_bytes;
}

void ring_park(struct ring *ring)
{
	const uint32_t parked = RING_PARKED;

	if (ring_refresh(ring) != 0)
		return;
	for (uint32_t slot = 0; slot < ring->head.buffers_used; slot++)
		if (pwrite(ring->fd, &parked, sizeof(parked),
			   (off_t)(buffer_offset(ring, slot) +
				   offsetof(struct ring_buffer, busy))) != sizeof(parked))
			return;
}

int ring_read_buffer_head(const struct ring *ring, uint32_t slot, struct ring_buffer_head *ret)
{
	if (ring->fd < 0 || slot >= ring->head.buffer_count)
		return -EPROTO;
	return read_at(ring->fd, ret, sizeof(*ret), buffer_offset(ring, slot));
}

/* Room for `count` entries of a column, filled from entry `skip` of the buffer on. */
static void *column(const struct ring *ring, uint32_t slot, size_t offset, size_t width,
		    uint32_t skip, uint32_t count, struct slab **slabs)
{
	void *room = slab_take(slabs, count * width + 1);

	if (room && read_at(ring->fd, room, count * width,
			    buffer_offset(ring, slot) + offset + skip * width) != 0)
		return NULL;
	return room;
}

int ring_read_events(const struct ring *ring, uint32_t slot, const struct ring_buffer_head *head,
		     uint64_t from_seq, struct batch *ret_batch)
{
	struct batch batch = { .thread = head->thread, .count = head->count };
	struct ring_buffer_head after;
	uint32_t skip = 0, words = 0;
	int error = -EPROTO;

	if (head->count > RING_EVENTS || head->details_used > RING_DETAILS || !head->thread ||
	    head->first_seq >= BATCH_MAX_SEQ)
		return -EPROTO;
	if (from_seq > head->first_seq) {
		if (from_seq - head->first_seq >= head->count)
			return -ENODATA;
		skip = (uint32_t)(from_seq - head->first_seq);
	} else if (head->count == 0) {
		return -ENODATA;
	}
#define COLUMN(name, offset, skipped, n)                                                       \
	column(ring, slot, offsetof(struct ring_buffer, name) + (offset), sizeof(*batch.name), \
	       skipped, n, &batch.slabs)
	batch.kinds = COLUMN(kinds, 0, 0, head->count);
	batch.classes = COLUMN(classes, 0, 0, head->count);
	if (!batch.kinds || !batch.classes)
		goto fail;
	for (uint32_t i = 0; i < head->count; i++) {
		unsigned n = batch_event_details(&batch, i);

		if (n == BATCH_NO_KIND)
			goto fail;
		if (i == skip)
			batch.details_at = words;
		words += n;
	}
	if (words > RING_DETAILS)
		goto fail;
	batch.kinds += skip;
	batch.classes += skip;
	batch.count = head->count - skip;
	batch.first_seq = head->first_seq + skip;
	batch.details_count = words - batch.details_at;
	batch.ticks = COLUMN(ticks, 0, skip, batch.count);
	batch.addresses = COLUMN(addresses, 0, skip, batch.count);
	batch.sizes = COLUMN(sizes, 0, skip, batch.count);
	batch.stacks = COLUMN(stacks, 0, skip, batch.count);
	batch.details = COLUMN(details, 0, batch.details_at, batch.details_count);
#undef COLUMN
	batch.details_at = 0;
	if (!batch.ticks || !batch.addresses || !batch.sizes || !batch.stacks || !batch.details ||
	    ring_read_buffer_head(ring, slot, &after) != 0)
		goto fail;
	if (after.first_seq != head->first_seq || after.thread != head->thread) {
		error = -EAGAIN;
		goto fail;
	}
	*ret_batch = batch;
	return 0;
fail:
	if (ring_read_buffer_head(ring, slot, &after) == 0 && after.first_seq != head->first_seq)
		error = -EAGAIN;
	slab_release(&batch.slabs);
	return error;
}

int ring_read_nodes(const struct ring *ring, uint32_t first, struct ring_node *ret_nodes,
		    uint32_t max)
{
	if (ring->fd < 0 || first >= ring->head.nodes_used)
		return 0;
	if (max > ring->head.nodes_used - first)
		max = ring->head.nodes_used - first;
	if (read_at(ring->fd, ret_nodes, max * sizeof(*ret_nodes),
		    ring->head.nodes_offset + (uint64_t)first * sizeof(*ret_nodes)) != 0)
		return 0;
	return (int)max;
}
