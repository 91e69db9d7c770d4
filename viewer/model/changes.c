#include "viewer/model/changes.h"

#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/model/frame.h"

void changes_init(struct changes *ret_changes)
{
	*ret_changes = (struct changes){ .keys = intern_new() };
}

static char *site_text(const struct profile *profile, uint32_t id)
{
	const struct frame *frame = &profile->frames[id];
	const char *module = frame->module ? profile->modules[frame->module].name : "";

	return memory_print("%s%s%s", frame_name(profile, id),
			    frame->function && *module ? "  " : "", frame->function ? module : "");
}

static struct change *change_find(struct changes *changes, const struct profile *profile,
				  uint32_t site)
{
	const struct frame *frame = &profile->frames[site];
	char *key = frame_key(profile, site);
	size_t at = intern_put(changes->keys, key);

	free(key);
	if (at < changes->count)
		return &changes->all[at];
	if (changes->count == changes->room) {
		changes->room = changes->room ? 2 * changes->room : 64;
		changes->all = memory_grow(changes->all, changes->room * sizeof(*changes->all));
	}
	changes->all[changes->count] = (struct change){
		.site = site_text(profile, site),
		.function = frame->function,
		.module = frame->module ? profile->modules[frame->module].name : NULL,
	};
	return &changes->all[changes->count++];
}

void changes_add(struct changes *changes, const struct profile *profile, enum change_side side)
{
	for (size_t i = 0; i < profile->total_count; i++) {
		const struct total *total = &profile->totals[i];
		struct change *change =
			change_find(changes, profile, profile_site(profile, total->stack));

		for (int metric = 0; metric < METRIC_COUNT; metric++)
			change->values[side][metric] += total->values[metric];
	}
}

int64_t change_of(const struct change *change, enum metric metric)
{
	return change->values[CHANGE_AFTER][metric] - change->values[CHANGE_BEFORE][metric];
}

static int compare_changes(const void *a, const void *b, void *metric)
{
	int64_t one = llabs(change_of(a, *(enum metric *)metric));
	int64_t other = llabs(change_of(b, *(enum metric *)metric));

	if (one != other)
		return one < other ? 1 : -1;
	return strcmp(((const struct change *)a)->site, ((const struct change *)b)->site);
}

void changes_sort(struct changes *changes, enum metric metric)
{
	if (changes->count)
		qsort_r(changes->all, changes->count, sizeof(*changes->all), compare_changes,
			&metric);
}

void changes_release(struct changes *changes)
{
	for (size_t i = 0; i < changes->count; i++)
		free(changes->all[i].site);
	free(changes->all);
	intern_free(changes->keys);
	*changes = (struct changes){ 0 };
}
