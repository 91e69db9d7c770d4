#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "shim/prim.h"
#include "shim/ring.h"
#include "shim/settings.h"
#include "shim/sys.h"

static const struct ring_size {
	uint32_t buffers;
	uint32_t nodes;
} sizes[] = { { RING_BUFFERS_MAX, RING_NODES_MAX },
	      { 512, 2u << 20 },
	      { 128, 256u << 10 },
	      { 32, 32u << 10 },
	      { 8, 8u << 10 } };

/* Buffers that nobody has stay mapped up to this number, for the next threads. */
#define RING_SPARE 4u

/* What is mapped before that becomes impossible: buffers, nodes. */
#define RING_AHEAD 16u
#define RING_AHEAD_NODES (64u << 10)

#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

struct ring ht_ring = { .fd = -1 };

/* Counted before there is a ring to count in; moved there when it is made. */
static uint64_t early_losses[8];

static void (*begin_copy)(void);

void ht_ring_on_copy(void (*begin)(void))
{
	begin_copy = begin;
}

bool ht_ring_is_begun(void)
{
	uint32_t *alive = ht_ring.alive;

	if (!alive || __atomic_load_n(alive, __ATOMIC_RELAXED) == RING_ALIVE)
		return true;
	/* One of its threads sees to it. */
	if (__atomic_exchange_n(alive, RING_BEGINS, __ATOMIC_RELAXED) != 0)
		return false;
	begin_copy();
	return ht_recording();
}

static size_t round_up(size_t bytes)
{
	return (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
}

static size_t stride_bytes(void)
{
	return round_up(sizeof(struct ring_buffer));
}

static size_t nodes_offset(const struct ring_size *size)
{
	return PAGE_BYTES + size->buffers * stride_bytes();
}

static size_t size_bytes(const struct ring_size *size)
{
	return nodes_offset(size) + round_up(size->nodes * sizeof(struct ring_node));
}

/* Raising a file's size beyond RLIMIT_FSIZE would raise SIGXFSZ, so that limit is asked first. */
static int make_memfd(size_t bytes)
{
	struct rlimit limit = { 0, 0 };
	long fd;

	if (!prim_may(PRIM_START))
		return -EPERM;
	if (sys_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &limit) == 0 && bytes > limit.rlim_cur)
		return -EFBIG;
	fd = sys_call2(SYS_memfd_create, "heaptape", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return (int)fd;
	if (sys_call2(SYS_ftruncate, fd, bytes) < 0) {
		sys_call1(SYS_close, fd);
		return -EFBIG;
	}
	sys_call3(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK);
	return (int)fd;
}

static bool failed(long ret)
{
	return ret < 0 && ret > -4096;
}

/* A core dump is the program's, not ours. */
static void leave_out_of_dumps(void *start, size_t bytes)
{
	if (prim_may(PRIM_MADVISE))
		sys_call3(SYS_madvise, start, bytes, MADV_DONTDUMP);
}

/* Pages of the ring's file, or without one private ones; at `place` unless that is NULL. */
static void *map(const struct ring *ring, void *place, size_t bytes, size_t offset)
{
	int flags = (ring->shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS) | MAP_NORESERVE;
	long ret = sys_call6(SYS_mmap, (long)place, (long)bytes, PROT_READ | PROT_WRITE,
			     flags | (place ? MAP_FIXED : 0), ring->shared ? ring->fd : -1,
			     ring->shared ? (long)offset : 0);

	if (failed(ret))
		return NULL;
	leave_out_of_dumps((void *)ret, bytes);
	return (void *)ret;
}

/* The pages of the file that follow `before` bytes at `neighbour`, which are mapped. */
static void *map_behind(const struct ring *ring, char *neighbour, size_t before, size_t bytes)
{
	long ret;

	if (!ring->shared)
		return map(ring, NULL, bytes, 0);
	if (!prim_may(PRIM_MREMAP))
		return NULL;
	ret = sys_call4(SYS_mremap, neighbour, 0, before + bytes, MREMAP_MAYMOVE);
	if (ret == -EAGAIN) {
		/* The program has locked its memory, and no more of it may be. Ours need not be. */
		sys_call2(SYS_munlock, neighbour, PAGE_BYTES);
		ret = sys_call4(SYS_mremap, neighbour, 0, before + bytes, MREMAP_MAYMOVE);
	}
	if (failed(ret))
		return NULL;
	if (before)
		sys_call2(SYS_munmap, ret, before);
	return (void *)(ret + (long)before);
}

static size_t segment_bytes(unsigned segment)
{
	return ring_segment_nodes(segment) * sizeof(struct ring_node);
}

bool ht_ring_reach(struct ring *ring, uint32_t node)
{
	unsigned segment = ring_segment(node);
	struct ring_node *none = NULL, *made;
	char *before;

	/* The first is there from the start. */
	if (!segment || __atomic_load_n(&ring->segments[segment], __ATOMIC_ACQUIRE))
		return true;
	if (!ht_ring_reach(ring, ring_segment_nodes(segment) - 1))
		return false;
	before = (char *)ring->segments[segment - 1] + segment_bytes(segment - 1);
	made = map_behind(ring, before - PAGE_BYTES, PAGE_BYTES, segment_bytes(segment));
	if (!made)
		return false;
	if (!__atomic_compare_exchange_n(&ring->segments[segment], &none, made, false,
					 __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		sys_call2(SYS_munmap, made, segment_bytes(segment)); /* another was first */
	return true;
}

/* Makes the rest of a buffer accessible that only the first page of is. */
static bool open_rest(struct ring *ring, uint32_t slot)
{
	size_t rest = stride_bytes() - PAGE_BYTES;
	char *header = (char *)ring->buffers[slot], *whole;

	if (!ring->shared) {
		whole = map(ring, NULL, stride_bytes(), 0);
		if (whole)
			memcpy(whole, header, PAGE_BYTES);
	} else {
		whole = map_behind(ring, header, 0, PAGE_BYTES + rest);
	}
	if (!whole)
		return false;
	__atomic_store_n(&ring->buffers[slot], (struct ring_buffer *)(void *)whole,
			 __ATOMIC_RELEASE);
	sys_call2(SYS_munmap, header, PAGE_BYTES);
	ring->whole[slot] = true;
	return true;
}

static bool open_next(struct ring *ring)
{
	uint32_t slot = ring->buffers_mapped;
	char *before = (char *)ring->buffers[slot - 1];

	ring->buffers[slot] = map_behind(ring, before, stride_bytes(), stride_bytes());
	if (!ring->buffers[slot])
		return false;
	ring->whole[slot] = true;
	ring->buffers_mapped++;
	return true;
}

struct ring_buffer *ht_ring_open(struct ring *ring, uint32_t slot)
{
	if (slot < ring->buffers_mapped && ring->whole[slot])
		ring->spare--;
	else if (!(slot < ring->buffers_mapped ? open_rest(ring, slot) : open_next(ring)))
		return NULL;
	return ring->buffers[slot];
}

void ht_ring_close(struct ring *ring, uint32_t slot)
{
	char *rest = (char *)ring->buffers[slot] + PAGE_BYTES;

	if (ring->spare < RING_SPARE || !prim_may(PRIM_MADVISE) || !prim_may(PRIM_MREMAP)) {
		ring->spare++;
		return;
	}
	/* Nobody reads it any more: its events have been sent. */
	sys_call3(SYS_madvise, rest, stride_bytes() - PAGE_BYTES, MADV_REMOVE);
	sys_call2(SYS_munmap, rest, stride_bytes() - PAGE_BYTES);
	ring->whole[slot] = false;
}

void ht_ring_ahead(struct ring *ring)
{
	while (ring->spare < RING_AHEAD && ring->buffers_mapped < ring->head->buffer_count &&
	       open_next(ring))
		ring->spare++;
	ht_ring_reach(ring, RING_AHEAD_NODES < ring->head->node_capacity
				    ? RING_AHEAD_NODES
				    : ring->head->node_capacity - 1);
}

static size_t recorders_bytes(uint32_t count)
{
	return PAGE_BYTES + round_up(count * sizeof(struct recorder));
}

/* Recorders lie on pages that are empty in a forked child, whoever made it and however. */
static bool map_recorders(struct ring *ring, uint32_t count)
{
	const struct ring private = { .fd = -1 };
	size_t bytes = recorders_bytes(count);
	char *memory = map(&private, NULL, bytes, 0);

	if (!memory)
		return false;
	if (prim_may(PRIM_MADVISE))
		sys_call3(SYS_madvise, memory, bytes, MADV_WIPEONFORK);
	ring->alive = (uint32_t *)memory;
	*ring->alive = RING_ALIVE;
	ring->recorders = (struct recorder *)(memory + PAGE_BYTES);
	return true;
}

/* Maps the pieces that every process needs, and buffers for its first threads: where memory is refused
 * later, what those do is still recorded. */
static bool map_first(struct ring *ring, const struct ring_size *size)
{
	ring->head = map(ring, NULL, PAGE_BYTES, 0);
	char *buffers = map(ring, NULL, RING_SPARE * stride_bytes(), PAGE_BYTES);

	ring->head = map(ring, NULL, PAGE_BYTES, 0);
	ring->segments[0] = map(ring, NULL, segment_bytes(0), nodes_offset(size));
	if (!buffers)
		return false;
	for (uint32_t slot = 0; slot < RING_SPARE; slot++) {
		ring->buffers[slot] =
			(struct ring_buffer *)(void *)(buffers + slot * stride_bytes());
		ring->whole[slot] = true;
	}
	ring->buffers_mapped = ring->spare = RING_SPARE;
	return ring->head && ring->segments[0];
}

/* The largest that fits, shared if at all possible. */
static const struct ring_size *make_largest(struct ring *ring)
{
	for (const struct ring_size *size = sizes; size < sizes + SIZES; size++) {
		ring->fd = make_memfd(size_bytes(size));
		ring->shared = ring->fd >= 0;
		if (ring->shared)
			return size;
	}
	return sizes;
}

static void start(struct ring_head *head, const struct ring_size *size)
{
	head->version = RING_VERSION;
	head->buffer_count = size->buffers;
	head->buffer_stride_bytes = (uint32_t)stride_bytes();
	head->buffers_offset = PAGE_BYTES;
	head->nodes_offset = nodes_offset(size);
	head->node_capacity = size->nodes;
	head->nodes_used = 1;
	head->nodes_sent = 1;
	head->always_on = ht_settings.guard;
	head->control = ht_settings.dormant && !ht_settings.guard ? 0 : RING_CONTROL_RECORD;
	for (unsigned i = 0; i < 8; i++)
		head->lost[i] = __atomic_exchange_n(&early_losses[i], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&head->magic, RING_MAGIC, __ATOMIC_RELEASE);
}

int ht_ring_make(struct ring *ring)
{
	const struct ring_size *size;

	*ring = (struct ring){ .fd = -1 };
	size = make_largest(ring);
	ring->size = size;
	if (!map_first(ring, size) || !map_recorders(ring, size->buffers)) {
		ht_ring_drop(ring);
		return -ENOMEM;
	}
	start(ring->head, size);
	return 0;
}

/* Everything that was mapped lies in the new memory afterwards, where it was. Of the buffers, only
 * those are kept whole that a frame of this thread's may be about to write to. */
static bool map_again(struct ring *ring)
{
	const struct ring_size *size = ring->size;

	for (uint32_t slot = 0; slot < ring->buffers_mapped; slot++) {
		struct ring_buffer *buffer = ring->buffers[slot];
		size_t bytes = stride_bytes();

		if (slot != ring->kept && !(ring->whole[slot] && buffer->busy)) {
			if (ring->whole[slot])
				sys_call2(SYS_munmap, (char *)buffer + PAGE_BYTES,
					  bytes - PAGE_BYTES);
			ring->whole[slot] = false;
			bytes = PAGE_BYTES;
		}
		if (!map(ring, buffer, bytes, PAGE_BYTES + slot * stride_bytes()))
			return false;
		ring->spare += ring->whole[slot];
	}
	for (unsigned i = 0; i < RING_SEGMENTS && ring->segments[i]; i++)
		if (!map(ring, ring->segments[i], segment_bytes(i),
			 nodes_offset(size) + (i ? segment_bytes(i) : 0)))
			return false;
	return map(ring, ring->head, PAGE_BYTES, 0);
}

int ht_ring_renew(struct ring *ring)
{
	const struct ring_size *size = ring->size;

	if (!ring->head)
		return ht_ring_make(ring);
	ring->fd = make_memfd(size_bytes(size));
	ring->shared = ring->fd >= 0;
	ring->spare = 0;
	if (!map_again(ring)) {
		if (ring->fd >= 0)
			sys_call1(SYS_close, ring->fd);
		ring->fd = -1;
		return -ENOMEM;
	}
	if (*ring->alive == RING_ALIVE) /* a kernel that does not wipe */
		memset(ring->recorders, 0, size->buffers * sizeof(struct recorder));
	*ring->alive = RING_ALIVE;
	start(ring->head, size);
	return 0;
}

static void unmap(void *start, size_t bytes)
{
	if (start)
		sys_call2(SYS_munmap, start, bytes);
}

void ht_ring_drop(struct ring *ring)
{
	if (ring->fd >= 0)
		sys_call1(SYS_close, ring->fd);
	if (ring->size)
		unmap(ring->alive, recorders_bytes(ring->size->buffers));
	for (uint32_t slot = 0; slot < ring->buffers_mapped; slot++)
		unmap(ring->buffers[slot], ring->whole[slot] ? stride_bytes() : PAGE_BYTES);
	for (unsigned i = 0; i < RING_SEGMENTS; i++)
		unmap(ring->segments[i], segment_bytes(i));
	unmap(ring->head, PAGE_BYTES);
	*ring = (struct ring){ .fd = -1 };
}

void ht_loss_add(enum ring_loss loss, uint64_t amount)
{
	uint64_t *counts = ht_ring.head ? ht_ring.head->lost : early_losses;

	__atomic_fetch_add(&counts[loss - 1], amount, __ATOMIC_RELAXED);
}
