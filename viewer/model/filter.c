#include "viewer/model/filter.h"

#include "viewer/command/cli.h"
#include "viewer/model/suppress.h"

static bool matches(const char *pattern, const char *text)
{
	return text && suppression_matches(pattern, text);
}

static bool frame_shown(const struct profile *profile, const struct frame *frame)
{
	const struct module *module = &profile->modules[frame->module];

	if (shared.module && !matches(shared.module, module->name))
		return false;
	return !shared.match || matches(shared.match, frame->function) ||
	       matches(shared.match, frame->file) || matches(shared.match, module->path);
}

static bool stack_shown(const struct profile *profile, uint32_t stack)
{
	uint32_t frames[PROFILE_DEPTH_MAX];
	size_t count = profile_frames(profile, stack, frames, PROFILE_DEPTH_MAX);

	for (size_t i = 0; i < count; i++)
		if (!profile->modules[profile->frames[frames[i]].module].shim &&
		    frame_shown(profile, &profile->frames[frames[i]]))
			return true;
	return false;
}

void filter_apply(struct profile *profile)
{
	size_t shown = 0;

	if (!shared.match && !shared.module)
		return;
	for (size_t i = 0; i < profile->total_count; i++) {
		const struct total *total = &profile->totals[i];

		if (stack_shown(profile, total->stack)) {
			profile->totals[shown++] = *total;
			continue;
		}
		for (int at = 0; at < METRIC_COUNT; at++)
			profile->sums[at] -= total->values[at];
	}
	profile->total_count = shown;
}
