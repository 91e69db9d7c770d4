/* What a profile can be drawn or exported by: `--of NAME`. */
#ifndef HEAPTAPE_VIEWER_MODEL_METRIC_H
#define HEAPTAPE_VIEWER_MODEL_METRIC_H

#include <stddef.h>

#include "viewer/model/profile.h"

struct measure {
	const char *name;  /* --of */
	const char *title; /* for people */
	const char *unit;  /* bytes, blocks, allocations */
	enum metric metric;
};

extern const struct measure measures[];
extern const size_t measure_count;
#define MEASURE_NAMES "allocated, count, peak, leaked or temporary"

/* Its place in `measures`, or -1. */
int measure_find(const char *name);

#endif
