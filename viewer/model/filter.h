/* What a list is asked to show: only stacks that lead through a function, file or module. */
#ifndef HEAPTAPE_VIEWER_MODEL_FILTER_H
#define HEAPTAPE_VIEWER_MODEL_FILTER_H

#include <stdbool.h>

#include "viewer/model/profile.h"

/* Patterns (viewer/pattern.h); NULL: any. */
struct filter {
	const char *match;  /* a function, source file or module */
	const char *module; /* a module's name */
};

bool filter_shows(const struct filter *filter, const struct profile *profile, uint32_t stack);
/* Removes all other stacks from the profile. */
void filter_apply(const struct filter *filter, struct profile *profile);

#endif
