/*
 * Memory of messages: slabs that a bump pointer fills and that are given back as a whole. A
 * message's slabs belong to whoever holds the message. A few empty ones are kept for the next.
 * Not glibc's obstack: that ends the process when there is no memory.
 */
#ifndef HEAPTAPE_DAEMON_SLAB_H
#define HEAPTAPE_DAEMON_SLAB_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_SMALL_BYTES (8u << 10)
#define SLAB_BYTES (192u << 10) /* holds the message of one full ring buffer */

struct slab {
	struct slab *next;
	size_t size, used;
	_Alignas(16) uint8_t data[];
};

/* 16-byte aligned room from the newest slab of `*slabs`, or from a new one. NULL: no memory. */
void *slab_take(struct slab **slabs, size_t bytes);

/* Bytes held by all slabs of the list. */
size_t slab_bytes(const struct slab *slabs);

/* Gives back the whole list and leaves it empty. */
void slab_release(struct slab **slabs);

#endif
