#include "viewer/model/growth.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/intern.h"
#include "viewer/memory.h"
#include "viewer/model/frame.h"
#include "viewer/model/marks.h"

int growth_from(struct db *db, const struct run *run, int64_t *ret_from_ns, char **ret_label,
		struct error *error)
{
	struct marks marks;
	int result = marks_load(db, run->run_id, &marks, error);

	if (result)
		return result;
	*ret_from_ns = marks.count ? marks.list[0].at_ns : -1;
	*ret_label = marks.count ? memory_copy(marks.list[0].label) : NULL;
	marks_release(&marks);
	return 0;
}

struct block_row {
	int64_t stack_id, size_bytes, allocated_at_ns, freed_at_ns, listed_at_ns;
};

#define BLOCK(member)                                                      \
	{                                                                  \
#member, ROW_NUMBER, offsetof(struct block_row, member), 0 \
	}

static const struct row_field block_fields[] = { BLOCK(stack_id),	 BLOCK(size_bytes),
						 BLOCK(allocated_at_ns), BLOCK(freed_at_ns),
						 BLOCK(listed_at_ns),	 ROW_END };

enum verdict { VERDICT_OUTSIDE, VERDICT_AGELESS, VERDICT_KNOWN };

/* What became of a block, and of which kind it is if its age is known. */
static enum verdict block_judge(const struct block_row *block, int64_t from_ns, int64_t to_ns,
				enum growth_kind *ret_kind)
{
	bool freed = block->freed_at_ns != UNKNOWN;
	bool lives = !freed || block->freed_at_ns > to_ns;
	bool after;

	if (freed && block->freed_at_ns <= from_ns)
		return VERDICT_OUTSIDE;
	if (block->allocated_at_ns != UNKNOWN) {
		if (block->allocated_at_ns > to_ns)
			return VERDICT_OUTSIDE;
		after = block->allocated_at_ns > from_ns;
	} else {
		/* Listed after the moment, it may be older or younger. */
		int64_t listed_ns =
			block->listed_at_ns == UNKNOWN ? INT64_MAX : block->listed_at_ns;

		if (listed_ns > (from_ns < 0 ? to_ns : from_ns))
			return VERDICT_AGELESS;
		after = from_ns < 0;
	}
	*ret_kind = after ? (lives ? GROWTH_GREW : GROWTH_TRANSIENT)
			  : (lives ? GROWTH_KEPT : GROWTH_SHRANK);
	return VERDICT_KNOWN;
}

static void sum_add(struct growth_sum *sum, int64_t blocks, int64_t bytes)
{
	sum->blocks += blocks;
	sum->bytes += bytes;
}

/* `places` has, by stack, where its total is, plus one. */
static struct growth_total *total_of(struct growth *growth, size_t *room, uint32_t *places,
				     uint32_t stack)
{
	if (places[stack])
		return &growth->totals[places[stack] - 1];
	if (growth->count == *room) {
		*room = *room ? 2 * *room : 256;
		growth->totals = memory_grow(growth->totals, *room * sizeof(*growth->totals));
	}
	growth->totals[growth->count] = (struct growth_total){ .stack = stack };
	places[stack] = (uint32_t)growth->count + 1;
	return &growth->totals[growth->count++];
}

static int add_blocks(struct rows *rows, const struct profile *profile, struct growth *growth,
		      struct error *error)
{
	uint32_t *places = memory_alloc((profile->stack_count + 1) * sizeof(*places));
	struct block_row block;
	enum growth_kind kind;
	size_t room = 0;
	int result;

	while ((result = rows_next(rows, &block, error)) > 0) {
		enum verdict verdict = block_judge(&block, growth->from_ns, growth->to_ns, &kind);
		struct growth_total *total;

		growth->ageless += verdict == VERDICT_AGELESS;
		if (verdict != VERDICT_KNOWN)
			continue;
		total = total_of(growth, &room, places, profile_stack(profile, block.stack_id));
		sum_add(&total->of[kind], 1, block.size_bytes);
		sum_add(&growth->sums[kind], 1, block.size_bytes);
	}
	free(places);
	return result;
}

int growth_load(struct db *db, const struct run *run, int64_t process_id, const char *threads,
		int64_t from_ns, int64_t to_ns, const struct profile *profile,
		struct growth *ret_growth, struct error *error)
{
	struct growth growth = { .from_ns = from_ns, .to_ns = to_ns };
	struct rows rows;
	char *sql;
	int result;

	if (from_ns > to_ns)
		return error_set(error, -EINVAL, "the first moment must not be after the second");
	/* A process by its own constraint: the table then passes over the others' events. */
	sql = memory_print("SELECT stack_id, size_bytes, allocated_at_ns, freed_at_ns, "
			   "listed_at_ns FROM allocations WHERE run_id = ?%s%s%s%s",
			   process_id ? " AND process_id = ?" : "",
			   threads ? " AND thread_id IN (" : "", threads ? threads : "",
			   threads ? ")" : "");
	result = rows_open(&rows, db, block_fields, 0, error, sql, process_id ? "ii" : "i",
			   run->run_id, process_id);
	free(sql);
	if (!result)
		result = add_blocks(&rows, profile, &growth, error);
	if (result)
		growth_release(&growth);
	else
		*ret_growth = growth;
	return result;
}

void growth_release(struct growth *growth)
{
	free(growth->totals);
	*growth = (struct growth){ 0 };
}

void growth_filter(struct growth *growth, const struct filter *filter,
		   const struct profile *profile)
{
	size_t shown = 0;

	for (size_t i = 0; i < growth->count; i++) {
		const struct growth_total *total = &growth->totals[i];

		if (filter_shows(filter, profile, total->stack)) {
			growth->totals[shown++] = *total;
			continue;
		}
		for (int kind = 0; kind < GROWTH_KINDS; kind++)
			sum_add(&growth->sums[kind], -total->of[kind].blocks,
				-total->of[kind].bytes);
	}
	growth->count = shown;
}

struct growth_sum growth_change(const struct growth_sum of[GROWTH_KINDS])
{
	return (struct growth_sum){ of[GROWTH_GREW].blocks - of[GROWTH_SHRANK].blocks,
				    of[GROWTH_GREW].bytes - of[GROWTH_SHRANK].bytes };
}

/* What a list is sorted by; a site with none of it, blocks included, is not in the list. */
static struct growth_sum effect_of(const struct growth_sum of[GROWTH_KINDS], enum growth_list list)
{
	struct growth_sum effect = growth_change(of);

	switch (list) {
	case GROWTH_LIST_ALL:
		effect.bytes = llabs(effect.bytes);
		effect.blocks = llabs(effect.blocks);
		break;
	case GROWTH_LIST_GREW:
		break;
	case GROWTH_LIST_SHRANK:
		effect.bytes = -effect.bytes;
		effect.blocks = -effect.blocks;
		break;
	case GROWTH_LIST_TRANSIENT:
		return of[GROWTH_TRANSIENT];
	case GROWTH_LIST_KEPT:
		return of[GROWTH_KEPT];
	}
	return effect;
}

static bool is_listed(const struct growth_site *site, enum growth_list list)
{
	struct growth_sum effect = effect_of(site->of, list);

	if (list == GROWTH_LIST_ALL)
		return true;
	/* Blocks of no bytes count too. */
	return effect.bytes > 0 || (!effect.bytes && effect.blocks > 0);
}

static int compare_numbers(int64_t one, int64_t other)
{
	return (one < other) - (one > other);
}

static int compare_sites(const void *a, const void *b, void *context)
{
	const struct growth_site *one = a, *other = b;
	enum growth_list list = *(const enum growth_list *)context;
	struct growth_sum left = effect_of(one->of, list), right = effect_of(other->of, list);
	int order = compare_numbers(left.bytes, right.bytes);

	if (!order)
		order = compare_numbers(left.blocks, right.blocks);
	for (int kind = 0; kind < GROWTH_KINDS && !order; kind++)
		order = compare_numbers(one->of[kind].bytes, other->of[kind].bytes);
	return order ? order : strcmp(one->text, other->text);
}

static void site_add(struct growth_site *site, const struct growth_total *total,
		     enum growth_list list)
{
	int64_t bytes = effect_of(total->of, list).bytes;

	if (!site->stacks || bytes > site->main_bytes) {
		site->main_bytes = bytes;
		site->main_stack = total->stack;
	}
	site->stacks++;
	for (int kind = 0; kind < GROWTH_KINDS; kind++)
		sum_add(&site->of[kind], total->of[kind].blocks, total->of[kind].bytes);
}

static size_t group(const struct growth *growth, const struct profile *profile,
		    enum growth_list list, struct growth_site **ret_sites)
{
	struct intern *texts = intern_new();
	struct growth_site *sites = NULL;
	size_t count = 0, room = 0;

	for (size_t i = 0; i < growth->count; i++) {
		uint32_t frame = profile_site(profile, growth->totals[i].stack);
		char *text = frame_text(profile, frame);
		size_t at = intern_put(texts, text);

		assert(at <= count);
		if (at == count) {
			if (count == room) {
				room = room ? 2 * room : 64;
				sites = memory_grow(sites, room * sizeof(*sites));
			}
			sites[count++] = (struct growth_site){ .text = text, .frame = frame };
		} else {
			free(text);
		}
		site_add(&sites[at], &growth->totals[i], list);
	}
	intern_free(texts);
	*ret_sites = sites;
	return count;
}

size_t growth_sites(const struct growth *growth, const struct profile *profile,
		    enum growth_list list, struct growth_site **ret_sites)
{
	size_t all = group(growth, profile, list, ret_sites), count = 0;
	struct growth_site *sites = *ret_sites;

	for (size_t i = 0; i < all; i++)
		if (is_listed(&sites[i], list))
			sites[count++] = sites[i];
		else
			free(sites[i].text);
	if (count)
		qsort_r(sites, count, sizeof(*sites), compare_sites, &list);
	return count;
}

void growth_sites_free(struct growth_site *sites, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(sites[i].text);
	free(sites);
}

#define SITE(member, type)                                                      \
	{                                                                       \
#member, type, offsetof(struct growth_row, member), ROW_DERIVED \
	}
#define SUM(name, member)                                                                      \
	{ name "_bytes", ROW_NUMBER, offsetof(struct growth_row, member.bytes), ROW_DERIVED }, \
	{                                                                                      \
		name "_blocks", ROW_NUMBER, offsetof(struct growth_row, member.blocks),        \
			ROW_DERIVED                                                            \
	}

const struct row_field growth_fields[] = { SITE(site, ROW_TEXT),
					   SITE(function, ROW_TEXT_OR_NULL),
					   SITE(file, ROW_TEXT_OR_NULL),
					   SITE(module, ROW_TEXT_OR_NULL),
					   SITE(line, ROW_NUMBER),
					   SITE(stacks, ROW_NUMBER),
					   SITE(main_stack_id, ROW_NUMBER),
					   SUM("change", change),
					   SUM("grew", of[GROWTH_GREW]),
					   SUM("shrank", of[GROWTH_SHRANK]),
					   SUM("transient", of[GROWTH_TRANSIENT]),
					   SUM("kept", of[GROWTH_KEPT]),
					   ROW_END };

void growth_row_fill(struct growth_row *ret_row, const struct profile *profile,
		     const struct growth_site *site)
{
	const struct frame *frame = &profile->frames[site->frame];

	*ret_row = (struct growth_row){
		.site = site->text,
		.function = frame->function,
		.file = frame->file,
		.module = profile->modules[frame->module].path,
		.line = frame->line > 0 ? frame->line : UNKNOWN,
		.stacks = site->stacks,
		.main_stack_id = site->main_stack,
		.change = growth_change(site->of),
	};
	memcpy(ret_row->of, site->of, sizeof(site->of));
}
