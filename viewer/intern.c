#include "viewer/intern.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"

struct intern {
	char **texts;
	size_t count, room;
	uint32_t *slots;   /* number + 1; 0: empty */
	size_t slot_count; /* a power of two, more than twice `count` */
};

static uint64_t hash_text(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
	return hash;
}

struct intern *intern_new(void)
{
	struct intern *intern = memory_alloc(sizeof(*intern));

	intern->slot_count = 64;
	intern->slots = memory_alloc(intern->slot_count * sizeof(*intern->slots));
	return intern;
}

void intern_free(struct intern *intern)
{
	for (size_t i = 0; i < intern->count; i++)
		free(intern->texts[i]);
	free(intern->texts);
	free(intern->slots);
	free(intern);
}

/* The slot that holds the text, or the empty one where it belongs. */
static uint32_t *find_slot(const struct intern *intern, const char *text)
{
	size_t at = hash_text(text) & (intern->slot_count - 1);

	while (intern->slots[at] && strcmp(intern->texts[intern->slots[at] - 1], text) != 0)
		at = (at + 1) & (intern->slot_count - 1);
	return &intern->slots[at];
}

static void grow(struct intern *intern)
{
	free(intern->slots);
	intern->slot_count *= 2;
	intern->slots = memory_alloc(intern->slot_count * sizeof(*intern->slots));
	for (size_t i = 0; i < intern->count; i++)
		*find_slot(intern, intern->texts[i]) = (uint32_t)i + 1;
}

size_t intern_put(struct intern *intern, const char *text)
{
	uint32_t *slot = find_slot(intern, text);

	if (*slot)
		return *slot - 1;
	if (intern->count == intern->room) {
		intern->room = intern->room ? 2 * intern->room : 64;
		intern->texts = memory_grow(intern->texts, intern->room * sizeof(*intern->texts));
	}
	intern->texts[intern->count++] = memory_copy(text);
	*slot = (uint32_t)intern->count;
	if (2 * intern->count >= intern->slot_count)
		grow(intern);
	return intern->count - 1;
}

size_t intern_count(const struct intern *intern)
{
	return intern->count;
}

const char *intern_text(const struct intern *intern, size_t number)
{
	return intern->texts[number];
}
