#include "daemon/slab.h"

#include <stdlib.h>

#define SPARE_MAX 64u

static struct spare {
	size_t bytes;
	struct slab *first;
	unsigned count;
} spares[] = { { .bytes = SLAB_SMALL_BYTES }, { .bytes = SLAB_BYTES } };

static struct spare *spare_of(size_t bytes)
{
	return bytes == SLAB_SMALL_BYTES ? &spares[0] : bytes == SLAB_BYTES ? &spares[1] : NULL;
}

static struct slab *slab_new(size_t bytes)
{
	size_t size = bytes <= SLAB_SMALL_BYTES / 2 ? SLAB_SMALL_BYTES
		      : bytes <= SLAB_BYTES	    ? SLAB_BYTES
						    : bytes;
	struct spare *spare = spare_of(size);
	struct slab *slab;

	if (spare && spare->first) {
		slab = spare->first;
		spare->first = slab->next;
		spare->count--;
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
		struct spare *spare = spare_of(slab->size);

		*slabs = slab->next;
		if (spare && spare->count < SPARE_MAX) {
			slab->next = spare->first;
			spare->first = slab;
			spare->count++;
		} else {
			free(slab);
		}
	}
}
