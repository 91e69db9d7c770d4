#include "viewer/model/filter.h"

#include "viewer/pattern.h"

static bool matches(const char *pattern, const char *text)
{
	return text && pattern_matches(pattern, text);
}

static bool frame_shown(const struct filter *filter, const struct profile *profile,
			const struct frame *frame)
{
	const struct module *module = &profile->modules[frame->module];

	if (filter->module && !matches(filter->module, module->name))
		return false;
	return !filter->match || matches(filter->match, frame->function) ||
	       matches(filter->match, frame->file) || matches(filter->match, module->path);
}

bool filter_shows(const struct filter *filter, const struct profile *profile, uint32_t stack)
{
	uint32_t frames[PROFILE_DEPTH_MAX];
	size_t count;

	if (!filter->match && !filter->module)
		return true;
	count = profile_frames(profile, stack, frames, PROFILE_DEPTH_MAX);
	for (size_t i = 0; i < count; i++)
		if (!profile->modules[profile->frames[frames[i]].module].shim &&
		    frame_shown(filter, profile, &profile->frames[frames[i]]))
			return true;
	return false;
}

void filter_apply(const struct filter *filter, struct profile *profile)
{
	size_t shown = 0;

	if (!filter->match && !filter->module)
		return;
	for (size_t i = 0; i < profile->total_count; i++) {
		const struct total *total = &profile->totals[i];

		if (filter_shows(filter, profile, total->stack)) {
			profile->totals[shown++] = *total;
			continue;
		}
		for (int at = 0; at < METRIC_COUNT; at++)
			profile->sums[at] -= total->values[at];
	}
	profile->total_count = shown;
}
