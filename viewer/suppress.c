#include "viewer/suppress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/cli.h"

void suppressions_load(const char *path, struct suppressions *ret_suppressions)
{
	struct suppressions loaded = { 0 };
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0, number = 0;
	ssize_t length;

	if (!file)
		die("cannot read the suppressions '%s': %s", path, strerror(errno));
	while ((length = getline(&line, &room, file)) >= 0) {
		char *text = line + strspn(line, " \t");
		char *end = line + length;

		number++;
		while (end > text && strchr(" \t\r\n", end[-1]))
			*--end = 0;
		if (!*text || *text == '#')
			continue;
		if (strncmp(text, "leak:", 5) != 0 || !text[5])
			die("%s:%zu: '%s' is not 'leak:PATTERN'", path, number, text);
		loaded.patterns =
			must_grow(loaded.patterns, (loaded.count + 1) * sizeof(*loaded.patterns));
		loaded.patterns[loaded.count++] = must_copy(text + 5);
	}
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

/* Whether `text` begins with the pattern, '*' and a final '$' meant as said above. */
static bool matches_here(const char *pattern, const char *text)
{
	for (; *pattern; pattern++, text++) {
		if (*pattern == '*') {
			for (; *text; text++)
				if (matches_here(pattern + 1, text))
					return true;
			return matches_here(pattern + 1, text);
		}
		if (*pattern == '$' && !pattern[1])
			return !*text;
		if (*pattern != *text)
			return false;
	}
	return true;
}

bool suppression_matches(const char *pattern, const char *text)
{
	if (*pattern == '^')
		return matches_here(pattern + 1, text);
	for (;; text++) {
		if (matches_here(pattern, text))
			return true;
		if (!*text)
			return false;
	}
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
