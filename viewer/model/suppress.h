/*
 * Suppressions in LeakSanitizer's format: one "leak:PATTERN" a line, '#' comments. A pattern
 * (viewer/pattern.h) is compared with the function, source file and module of every frame.
 */
#ifndef HEAPTAPE_VIEWER_MODEL_SUPPRESS_H
#define HEAPTAPE_VIEWER_MODEL_SUPPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "viewer/error.h"
#include "viewer/model/profile.h"

struct suppressions {
	char **patterns;
	size_t count;
};

/* Adds one line, which it edits; false: the line is no suppression. */
bool suppressions_add(struct suppressions *suppressions, char *line);
/* -EINVAL: a line is no suppression. */
int suppressions_load(const char *path, struct suppressions *ret_suppressions, struct error *error);
void suppressions_release(struct suppressions *suppressions);

struct suppressed {
	int64_t stacks, blocks, bytes;
};

/* Takes the suppressed stacks out of the profile. bytes: METRIC_LIVE_BYTES or METRIC_PEAK_BYTES, of which
 * they have some. */
void suppressions_apply(const struct suppressions *suppressions, struct profile *profile,
			enum metric bytes, struct suppressed *ret_suppressed);
/* The same for what the C and C++ libraries allocate once and keep: a stream's buffer, tables of locales
 * and time zones, the emergency pool of exceptions, all the dynamic linker has for itself. */
void suppress_kept(struct profile *profile, enum metric bytes, struct suppressed *ret_suppressed);
/* The same, but the stacks stay in the profile: only their live blocks and bytes become 0. */
void suppress_kept_live(struct profile *profile, struct suppressed *ret_kept);

#endif
