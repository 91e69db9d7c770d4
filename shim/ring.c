#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "shim/ring.h"
#include "shim/settings.h"
#include "shim/sys.h"

#define PAGE_BYTES 4096u

static const struct ring_size {
	uint32_t buffers;
	uint32_t nodes;
} sizes[] = { { RING_BUFFERS_MAX, RING_NODES_MAX },
	      { 512, 2u << 20 },
	      { 128, 256u << 10 },
	      { 32, 32u << 10 },
	      { 8, 8u << 10 } };

#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

struct ring ht_ring = { .fd = -1 };

/* Counted before there is a ring to count in; moved there when it is made. */
static uint64_t early_losses[8];

static size_t round_up(size_t bytes)
{
	return (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
}

static size_t stride_bytes(void)
{
	return round_up(sizeof(struct ring_buffer));
}

static size_t size_bytes(const struct ring_size *size)
{
	return PAGE_BYTES + size->buffers * stride_bytes() +
	       round_up(size->nodes * sizeof(struct ring_node));
}

/* The most that may be mapped without taking the program's address space away from it. */
static size_t room(int resource, unsigned share)
{
	struct rlimit limit = { 0, 0 };

	if (sys_call4(SYS_prlimit64, 0, resource, 0, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return SIZE_MAX;
	return (size_t)limit.rlim_cur / share;
}

/* Raising a file's size beyond RLIMIT_FSIZE would raise SIGXFSZ, so that limit is asked first. */
static int make_memfd(size_t bytes)
{
	long fd;

	if (bytes > room(RLIMIT_FSIZE, 1))
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

static void *map(void *place, size_t bytes, int flags, int fd)
{
	long ret = sys_call6(SYS_mmap, (long)place, (long)bytes, PROT_READ | PROT_WRITE,
			     flags | MAP_NORESERVE | (place ? MAP_FIXED : 0), fd, 0);

	return ret < 0 && ret > -4096 ? NULL : (void *)ret;
}

/* Recorders lie on pages that are empty in a forked child, whoever made it and however. */
static bool map_recorders(struct ring *ring, uint32_t count)
{
	size_t bytes = PAGE_BYTES + round_up(count * sizeof(struct recorder));
	char *memory = map(NULL, bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	if (!memory)
		return false;
	sys_call3(SYS_madvise, memory, bytes, MADV_WIPEONFORK);
	ring->alive = (uint32_t *)memory;
	*ring->alive = RING_ALIVE;
	ring->recorders = (struct recorder *)(memory + PAGE_BYTES);
	return true;
}

/* Maps a ring's memory, at `place` unless that is NULL. False: not like this. */
static bool map_ring(struct ring *ring, void *place, size_t bytes, bool shared)
{
	int fd = shared ? make_memfd(bytes) : -1;

	if (shared && fd < 0)
		return false;
	ring->head = map(place, bytes, shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd);
	if (!ring->head) {
		if (fd >= 0)
			sys_call1(SYS_close, fd);
		return false;
	}
	/* A core dump is the program's, not ours. */
	sys_call3(SYS_madvise, ring->head, bytes, MADV_DONTDUMP);
	ring->bytes = bytes;
	ring->fd = fd;
	ring->shared = shared;
	return true;
}

/* The largest that fits, shared if at all possible. */
static const struct ring_size *map_largest(struct ring *ring)
{
	size_t limit = room(RLIMIT_AS, 8);

	for (int shared = 1; shared >= 0; shared--)
		for (const struct ring_size *size = sizes; size < sizes + SIZES; size++)
			if (size_bytes(size) <= limit &&
			    map_ring(ring, NULL, size_bytes(size), shared))
				return size;
	return NULL;
}

static void start(struct ring_head *head, const struct ring_size *size)
{
	head->version = RING_VERSION;
	head->buffer_count = size->buffers;
	head->buffer_stride_bytes = (uint32_t)stride_bytes();
	head->buffers_offset = PAGE_BYTES;
	head->nodes_offset = PAGE_BYTES + size->buffers * stride_bytes();
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
	size = map_largest(ring);
	if (!size)
		return -ENOMEM;
	if (!map_recorders(ring, size->buffers)) {
		ht_ring_drop(ring);
		return -ENOMEM;
	}
	start(ring->head, size);
	return 0;
}

int ht_ring_renew(struct ring *ring)
{
	const struct ring_size *size = sizes;
	void *place = ring->head;

	if (!place)
		return ht_ring_make(ring);
	while (size_bytes(size) != ring->bytes)
		size++;
	if (!map_ring(ring, place, ring->bytes, true) && !map_ring(ring, place, ring->bytes, false))
		return -ENOMEM;
	if (*ring->alive == RING_ALIVE) /* a kernel that does not wipe */
		memset(ring->recorders, 0, size->buffers * sizeof(struct recorder));
	*ring->alive = RING_ALIVE;
	start(ring->head, size);
	return 0;
}

void ht_ring_drop(struct ring *ring)
{
	if (ring->fd >= 0)
		sys_call1(SYS_close, ring->fd);
	if (ring->recorders)
		sys_call2(SYS_munmap, ring->alive,
			  PAGE_BYTES +
				  round_up(ring->head->buffer_count * sizeof(struct recorder)));
	if (ring->head)
		sys_call2(SYS_munmap, ring->head, ring->bytes);
	*ring = (struct ring){ .fd = -1 };
}

void ht_loss_add(enum ring_loss loss, uint64_t amount)
{
	uint64_t *counts = ht_ring.head ? ht_ring.head->lost : early_losses;

	__atomic_fetch_add(&counts[loss - 1], amount, __ATOMIC_RELAXED);
}
