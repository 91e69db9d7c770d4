/* What a list is asked to show: only stacks that lead through a function, file or module. */
#ifndef HEAPTAPE_VIEWER_MODEL_FILTER_H
#define HEAPTAPE_VIEWER_MODEL_FILTER_H

#include "viewer/model/profile.h"

/* Patterns (viewer/pattern.h); NULL: any. */
struct filter {
	const char *match;  /* a function, source file or module */
	const char *module; /* a module's name */
};

/* Removes all other stacks from the profile. */
void filter_apply(const struct filter *filter, struct profile *profile);

#endif
