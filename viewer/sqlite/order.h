/*
 * Rows of a process in strict order of time. Chunks are nearly so by themselves; where two overlap
 * (an event arrived late), or one is not sorted inside, those chunks are merged here.
 */
#ifndef HEAPTAPE_VIEWER_SQLITE_ORDER_H
#define HEAPTAPE_VIEWER_SQLITE_ORDER_H

#include "viewer/sqlite/scan.h"

/* More chunks than this that overlap all at once are refused. */
#define ORDER_MOST 64

struct order_part {
	struct chunk_reader *reader;
	struct chunk_columns columns;
	int64_t chunk_id;
	uint32_t *sorted; /* rows in order of time; NULL: they are so already */
	unsigned at;
};

struct order {
	struct order_part parts[ORDER_MOST];
	unsigned count;	  /* parts in use */
	unsigned current; /* part of the current row */
};

/* Loads the next chunks of the process that belong together. SQLITE_ROW, SQLITE_DONE or an error. */
int order_load(struct order *order, struct scan *scan);
/* Goes to the first or next row; false: all parts are through. */
bool order_next(struct order *order, bool descending);
void order_release(struct order *order);

/* The current row within its part. */
static inline unsigned order_row(const struct order *order, bool descending)
{
	const struct order_part *part = &order->parts[order->current];
	unsigned i = descending ? part->columns.events - part->at : part->at - 1;

	return part->sorted ? part->sorted[i] : i;
}

#endif
