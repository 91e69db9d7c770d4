#include "daemon/stacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_FIRST 4096u
#define CACHE_MAX (1u << 20)

static uint32_t hash(uint64_t a, uint64_t b)
{
	uint64_t mixed = (a ^ (b * UINT64_C(0x9e3779b97f4a7c15))) * UINT64_C(0xff51afd7ed558ccd);

	return (uint32_t)(mixed >> 32);
}

/* The entry of a key, or the empty one where it belongs; NULL: no table. */
static struct id_entry *cache_slot(struct id_cache *cache, uint64_t a, uint64_t b)
{
	uint32_t at = hash(a, b);

	if (!cache->entries)
		return NULL;
	for (;; at++) {
		struct id_entry *entry = &cache->entries[at & (cache->size - 1)];

		if (!entry->id || (entry->a == a && entry->b == b))
			return entry;
	}
}

static void cache_clear(struct id_cache *cache)
{
	free(cache->entries);
	memset(cache, 0, sizeof(*cache));
}

static void cache_grow(struct id_cache *cache)
{
	struct id_cache grown = { .size = cache->size ? cache->size * 2 : CACHE_FIRST };

	if (grown.size <= CACHE_MAX)
		grown.entries = calloc(grown.size, sizeof(*grown.entries));
	if (grown.entries) {
		for (uint32_t i = 0; i < cache->size; i++) {
			const struct id_entry *old = &cache->entries[i];

			if (old->id)
				*cache_slot(&grown, old->a, old->b) = *old;
		}
		grown.used = cache->used;
	}
	cache_clear(cache);
	if (grown.entries)
		*cache = grown;
}

static void cache_put(struct id_cache *cache, uint64_t a, uint64_t b, int64_t id)
{
	struct id_entry *entry;

	if (id > UINT32_MAX)
		return;
	if (cache->used >= cache->size / 2)
		cache_grow(cache);
	entry = cache_slot(cache, a, b);
	if (!entry)
		return;
	*entry = (struct id_entry){ a, b, (uint32_t)id };
	cache->used++;
}

void stacks_init(struct stacks *stacks, struct writer *writer)
{
	memset(stacks, 0, sizeof(*stacks));
	stacks->writer = writer;
}

void stacks_release(struct stacks *stacks)
{
	cache_clear(&stacks->frames);
	cache_clear(&stacks->trees);
}

/* Ids of an undone transaction are nobody's. */
static void forget_undone(struct stacks *stacks)
{
	if (stacks->failures != stacks->writer->failures) {
		stacks_release(stacks);
		stacks->failures = stacks->writer->failures;
	}
}

/* New rows have higher ids than any before them. */
static void note_new_stack(struct stacks *stacks, int64_t id)
{
	if (stacks->first_stack_id && stacks->commits == stacks->writer->commits)
		return;
	stacks->first_stack_id = id;
	stacks->commits = stacks->writer->commits;
}

int64_t stacks_undone(struct stacks *stacks)
{
	int64_t first = stacks->first_stack_id;

	stacks->first_stack_id = 0;
	return first && stacks->commits == stacks->writer->commits ? first : INT64_MAX;
}

int64_t stacks_module(struct stacks *stacks, const char *path, const char *build_id)
{
	struct writer *writer = stacks->writer;
	struct statement *statement = writer_statement(writer, SQL_MODULE_FIND);
	int64_t id;
	int error;

	writer_bind_text(statement, P_path, path);
	writer_bind_text(statement, P_build_id, build_id);
	error = writer_find(writer, statement, P_module_id, &id);
	if (error || id)
		return error ? error : id;
	statement = writer_statement(writer, SQL_MODULE_ADD);
	writer_bind_text(statement, P_path, path);
	writer_bind_text(statement, P_build_id, build_id);
	return writer_add(writer, statement);
}

int64_t stacks_frame(struct stacks *stacks, int64_t module_id, uint64_t offset)
{
	struct writer *writer = stacks->writer;
	struct id_entry *known;
	struct statement *statement;
	int64_t id;
	int error;

	forget_undone(stacks);
	known = cache_slot(&stacks->frames, (uint64_t)module_id, offset);
	if (known && known->id)
		return known->id;
	statement = writer_statement(writer, SQL_FRAME_FIND);
	writer_bind(statement, { P_module_id, (uint64_t)module_id }, { P_offset, offset });
	error = writer_find(writer, statement, P_frame_id, &id);
	if (!error && !id) {
		statement = writer_statement(writer, SQL_FRAME_ADD);
		writer_bind(statement, { P_module_id, (uint64_t)module_id }, { P_offset, offset });
		id = writer_add(writer, statement);
		stacks->frames_added++;
	}
	if (error || id < 0)
		return error ? error : id;
	cache_put(&stacks->frames, (uint64_t)module_id, offset, id);
	return id;
}

int64_t stacks_stack(struct stacks *stacks, int64_t parent_stack_id, int64_t frame_id,
		     unsigned depth, bool by_frame_pointer)
{
	struct writer *writer = stacks->writer;
	const uint64_t parent = (uint64_t)parent_stack_id, frame = (uint64_t)frame_id;
	struct id_entry *known;
	struct statement *statement;
	int64_t id;
	int error;

	forget_undone(stacks);
	known = cache_slot(&stacks->trees, parent, frame);
	if (known && known->id)
		return known->id;
	statement = writer_statement(writer, SQL_STACK_FIND);
	writer_bind(statement, { P_parent_stack_id, parent }, { P_frame_id, frame });
	error = writer_find(writer, statement, P_stack_id, &id);
	if (!error && !id) {
		statement = writer_statement(writer, SQL_STACK_ADD);
		writer_bind(statement, { P_parent_stack_id, parent }, { P_frame_id, frame },
			    { P_depth, depth }, { P_by_frame_pointer, by_frame_pointer });
		id = writer_add(writer, statement);
		if (id > 0)
			note_new_stack(stacks, id);
	}
	if (error || id < 0)
		return error ? error : id;
	cache_put(&stacks->trees, parent, frame, id);
	return id;
}
