/*
 * What a list is asked to show: stacks that lead through a function, file or module. TEXT is found
 * anywhere in a name; '*' stands for anything, '^' and '$' pin it to the beginning and the end.
 */
#ifndef HEAPTAPE_VIEWER_MODEL_FILTER_H
#define HEAPTAPE_VIEWER_MODEL_FILTER_H

#include "viewer/model/profile.h"

/* Takes all other stacks out of the profile, as --match and --module say. */
void filter_apply(struct profile *profile);

#endif
