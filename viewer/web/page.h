/* The flame graph as one HTML page that needs nothing else. */
#ifndef HEAPTAPE_VIEWER_WEB_PAGE_H
#define HEAPTAPE_VIEWER_WEB_PAGE_H

#include <stdio.h>

#include "viewer/model/run.h"
#include "viewer/model/tree.h"

/* `first`: the measure (model/metric.h) it shows when it opens. */
void page_write(FILE *out, const struct run *run, const struct profile *profile,
		const struct tree *tree, int first);

#endif
