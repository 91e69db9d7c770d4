#include "daemon/slab.h"

#include <stdlib.h>

#define SPARE_MAX 64

static struct slab *spare;
static unsigned spare_count;

static struct slab *slab_new(size_t bytes)
{
	size_t size = bytes > SLAB_BYTES ? bytes : SLAB_BYTES;
	struct slab *slab;

	if (size == SLAB_BYTES && spare) {
		slab = spare;
		spare = slab->next;
		spare_count--;
	} else {
		slab = malloc(sizeof(*slab) + size);
		if (!slab)
			return NULL;
		slab->size = size;
	}
	slab->used = 0;
	slab->next = NULL;
	return slab;
}

void *slab_take(struct slab **slabs, size_t bytes)
{
	struct slab *slab = *slabs;
	void *room;

	if (bytes > SIZE_MAX / 2)
		return NULL;
	bytes = (bytes + 15) & ~(size_t)15;
	if (!slab || slab->size - slab->used < bytes) {
		slab = slab_new(bytes);
		if (!slab)
			return NULL;
		slab->next = *slabs;
		*slabs = slab;
	}
	room = slab->data + slab->used;
	slab->used += bytes;
	return room;
}

size_t slab_bytes(const struct slab *slabs)
{
	size_t bytes = 0;

	for (; slabs; slabs = slabs->next)
		bytes += sizeof(*slabs) + slabs->size;
	return bytes;
}

void slab_release(struct slab **slabs)
{
	while (*slabs) {
		struct slab *slab = *slabs;

		*slabs = slab->next;
		if (slab->size == SLAB_BYTES && spare_count < SPARE_MAX) {
			slab->next = spare;
			spare = slab;
			spare_count++;
		} else {
			free(slab);
		}
	}
}
