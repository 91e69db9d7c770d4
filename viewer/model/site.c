#include "viewer/model/site.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/intern.h"
#include "viewer/memory.h"
#include "viewer/model/frame.h"

size_t sites_group(const struct profile *profile, struct site **ret_sites)
{
	struct intern *texts = intern_new();
	struct site *sites = NULL;
	size_t count = 0, room = 0;

	for (size_t i = 0; i < profile->total_count; i++) {
		const struct total *total = &profile->totals[i];
		uint32_t frame = profile_site(profile, total->stack);
		char *text = frame_text(profile, frame);
		size_t at = intern_put(texts, text);
		int64_t bytes = total->values[METRIC_ALLOCATED_BYTES];
		struct site *site;

		assert(at <= count);
		if (at == count) {
			if (count == room) {
				room = room ? 2 * room : 64;
				sites = memory_grow(sites, room * sizeof(*sites));
			}
			sites[count++] =
				(struct site){ .text = text, .frame = frame, .main_bytes = -1 };
		} else {
			free(text);
		}
		site = &sites[at];
		site->stacks++;
		for (int metric = 0; metric < METRIC_COUNT; metric++)
			site->values[metric] += total->values[metric];
		if (bytes > site->main_bytes) {
			site->main_bytes = bytes;
			site->main_stack = total->stack;
		}
	}
	intern_free(texts);
	*ret_sites = sites;
	return count;
}

void sites_free(struct site *sites, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(sites[i].text);
	free(sites);
}

static int compare_sites(const void *a, const void *b, void *metric)
{
	const struct site *left = a, *right = b;
	int64_t one = left->values[*(unsigned *)metric], other = right->values[*(unsigned *)metric];

	if (one != other)
		return one < other ? 1 : -1;
	return strcmp(left->text, right->text);
}

void sites_sort(struct site *sites, size_t count, unsigned metric)
{
	if (count)
		qsort_r(sites, count, sizeof(*sites), compare_sites, &metric);
}

static int compare_functions(const void *a, const void *b, void *metric)
{
	const struct site *left = a, *right = b;

	if (left->function_value != right->function_value)
		return left->function_value < right->function_value ? 1 : -1;
	if (left->function != right->function)
		return left->function < right->function ? -1 : 1;
	return compare_sites(a, b, metric);
}

/* A site without a name is a function of its own. */
static char *function_key(const struct profile *profile, const struct site *site)
{
	const struct frame *frame = &profile->frames[site->frame];

	if (!frame->function)
		return memory_copy(site->text);
	return memory_print("%s\n%s\n%u", frame->function, frame->file ? frame->file : "",
			    frame->module);
}

void sites_sort_functions(const struct profile *profile, struct site *sites, size_t count,
			  unsigned metric)
{
	int64_t *values = memory_alloc((count + 1) * sizeof(*values));
	struct intern *keys = intern_new();

	/* By name first: what is equal otherwise comes in the same order each time. */
	sites_sort(sites, count, metric);
	for (size_t i = 0; i < count; i++) {
		char *key = function_key(profile, &sites[i]);

		sites[i].function = intern_put(keys, key);
		values[sites[i].function] += sites[i].values[metric];
		free(key);
	}
	for (size_t i = 0; i < count; i++)
		sites[i].function_value = values[sites[i].function];
	if (count)
		qsort_r(sites, count, sizeof(*sites), compare_functions, &metric);
	intern_free(keys);
	free(values);
}

#define SITE(member, type)                                                    \
	{                                                                     \
#member, type, offsetof(struct site_row, member), ROW_DERIVED \
	}
#define VALUE(name, metric)                                                              \
	{                                                                                \
		name, ROW_NUMBER, offsetof(struct site_row, values[metric]), ROW_DERIVED \
	}

const struct row_field site_fields[] = { SITE(site, ROW_TEXT),
					 SITE(function, ROW_TEXT_OR_NULL),
					 SITE(file, ROW_TEXT_OR_NULL),
					 SITE(module, ROW_TEXT_OR_NULL),
					 SITE(line, ROW_NUMBER),
					 SITE(stacks, ROW_NUMBER),
					 SITE(main_stack_id, ROW_NUMBER),
					 SITE(share, ROW_REAL),
					 VALUE("allocations", METRIC_ALLOCATIONS),
					 VALUE("allocated_bytes", METRIC_ALLOCATED_BYTES),
					 VALUE("frees", METRIC_FREES),
					 VALUE("freed_bytes", METRIC_FREED_BYTES),
					 VALUE("temporary", METRIC_TEMPORARY),
					 VALUE("peak_blocks", METRIC_PEAK_BLOCKS),
					 VALUE("peak_bytes", METRIC_PEAK_BYTES),
					 VALUE("live_blocks", METRIC_LIVE_BLOCKS),
					 VALUE("live_bytes", METRIC_LIVE_BYTES),
					 ROW_END };

void site_row_fill(struct site_row *ret_row, const struct profile *profile, const struct site *site,
		   enum metric share_of)
{
	const struct frame *frame = &profile->frames[site->frame];
	int64_t sum = profile->sums[share_of];

	*ret_row = (struct site_row){
		.site = site->text,
		.function = frame->function,
		.file = frame->file,
		.module = profile->modules[frame->module].path,
		.line = frame->line > 0 ? frame->line : UNKNOWN,
		.stacks = site->stacks,
		.main_stack_id = site->main_stack,
		.share = sum ? (double)site->values[share_of] / (double)sum : 0,
	};
	memcpy(ret_row->values, site->values, sizeof(site->values));
}
