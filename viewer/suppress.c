#include "viewer/suppress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/cli.h"

bool suppressions_add(struct suppressions *suppressions, char *line)
{
	char *text = line + strspn(line, " \t"), *end = text + strlen(text);

	while (end > text && strchr(" \t\r\n", end[-1]))
		*--end = 0;
	if (!*text || *text == '#')
		return true;
	if (strncmp(text, "leak:", 5) != 0 || !text[5])
		return false;
	suppressions->patterns =
		must_grow(suppressions->patterns,
			  (suppressions->count + 1) * sizeof(*suppressions->patterns));
	suppressions->patterns[suppressions->count++] = must_copy(text + 5);
	return true;
}

void suppressions_load(const char *path, struct suppressions *ret_suppressions)
{
	struct suppressions loaded = { 0 };
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;

	if (!file)
		die("cannot read the suppressions '%s': %s", path, strerror(errno));
	for (size_t number = 1; getline(&line, &room, file) >= 0; number++)
		if (!suppressions_add(&loaded, line))
			die("%s:%zu: '%s' is not 'leak:PATTERN'", path, number,
			    line + strspn(line, " \t"));
	if (ferror(file))
		die("cannot read the suppressions '%s': %s", path, strerror(errno));
	free(line);
	fclose(file);
	*ret_suppressions = loaded;
}

void suppressions_free(struct suppressions *suppressions)
{
	for (size_t i = 0; i < suppressions->count; i++)
		free(suppressions->patterns[i]);
	free(suppressions->patterns);
}

/* When something does not fit, only the latest '*' need take one character more: whatever came
 * before it fits as early as it can. An open beginning is a '*' too. */
bool suppression_matches(const char *pattern, const char *text)
{
	const char *star = NULL, *from = text;

	if (*pattern == '^')
		pattern++;
	else
		star = pattern;
	while (*pattern) {
		if (*pattern == '*') {
			star = ++pattern;
			from = text;
		} else if (*pattern == '$' && !pattern[1] ? !*text : *text && *pattern == *text) {
			pattern++;
			text += *text != 0;
		} else if (star && *from) {
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
	return true;
}

static bool stack_suppressed(const struct suppressions *suppressions, const struct profile *profile,
			     uint32_t stack)
{
	uint32_t frames[PROFILE_DEPTH_MAX];
	size_t count = profile_frames(profile, stack, frames, PROFILE_DEPTH_MAX);

	for (size_t i = 0; i < count; i++) {
		const struct frame *frame = &profile->frames[frames[i]];
		const char *texts[] = { frame->function, frame->file,
					profile->modules[frame->module].path };

		for (size_t text = 0; text < 3; text++)
			for (size_t p = 0; texts[text] && p < suppressions->count; p++)
				if (suppression_matches(suppressions->patterns[p], texts[text]))
					return true;
	}
	return false;
}

size_t suppressions_apply(const struct suppressions *suppressions, struct profile *profile,
			  enum metric metric, int64_t *ret_sum)
{
	size_t kept = 0, gone;
	int64_t sum = 0;

	for (size_t i = 0; i < profile->total_count; i++) {
		struct total *total = &profile->totals[i];

		if (total->values[metric] > 0 &&
		    stack_suppressed(suppressions, profile, total->stack)) {
			sum += total->values[metric];
			for (int at = 0; at < METRIC_COUNT; at++)
				profile->sums[at] -= total->values[at];
		} else {
			profile->totals[kept++] = *total;
		}
	}
	gone = profile->total_count - kept;
	profile->total_count = kept;
	*ret_sum = sum;
	return gone;
}
