/* Two runs' call sites side by side, joined by what is the same for a function in every build. */
#ifndef HEAPTAPE_VIEWER_MODEL_CHANGES_H
#define HEAPTAPE_VIEWER_MODEL_CHANGES_H

#include <stddef.h>
#include <stdint.h>

#include "viewer/intern.h"
#include "viewer/model/profile.h"

enum change_side { CHANGE_BEFORE, CHANGE_AFTER };

struct change {
	char *site;		       /* for people */
	const char *function, *module; /* the profile's; NULL: not known */
	int64_t values[2][METRIC_COUNT];
};

struct changes {
	struct change *all;
	size_t count, room;
	struct intern *keys; /* frame_key() of each */
};

void changes_init(struct changes *ret_changes);
/* Adds a run's stacks. The profile must outlive the changes. */
void changes_add(struct changes *changes, const struct profile *profile, enum change_side side);
/* The greatest change of the metric first; nothing can be added afterwards. */
void changes_sort(struct changes *changes, enum metric metric);
void changes_release(struct changes *changes);

int64_t change_of(const struct change *change, enum metric metric);

#endif
