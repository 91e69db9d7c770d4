/* Merging chunks that overlap in time; see order.h. */
#include "viewer/sqlite/order.h"

#include <stdlib.h>
#include <string.h>

static __thread const uint64_t *sort_times;

static int compare_times(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	if (sort_times[a] != sort_times[b])
		return sort_times[a] < sort_times[b] ? -1 : 1;
	return a < b ? -1 : a > b;
}

static int part_load(struct order_part *part, struct scan *scan)
{
	int rc;

	if (!part->reader)
		part->reader = scan_reader_take();
	if (!part->reader)
		return SQLITE_NOMEM;
	part->chunk_id = scan->chunk_id;
	part->at = 0;
	free(part->sorted);
	part->sorted = NULL;
	rc = scan_decode_chunk(scan, part->reader, &part->columns);
	if (rc != SQLITE_ROW || part->columns.sorted)
		return rc;
	part->sorted = malloc(part->columns.events * sizeof(*part->sorted));
	if (!part->sorted)
		return SQLITE_NOMEM;
	for (unsigned i = 0; i < part->columns.events; i++)
		part->sorted[i] = i;
	sort_times = part->columns.at_ns;
	qsort(part->sorted, part->columns.events, sizeof(*part->sorted), compare_times);
	return rc;
}

int order_load(struct order *order, struct scan *scan)
{
	int64_t low = 0, high = 0;
	int rc;

	order->count = 0;
	while ((rc = scan_find_chunk(scan)) == SQLITE_ROW) {
		if (order->count && (scan->chunk_first_ns > high || scan->chunk_last_ns < low))
			return SQLITE_ROW;
		if (order->count == ORDER_MOST) {
			sqlite3_free(scan->error);
			scan->error = sqlite3_mprintf(
				"the events of process %lld are too disordered to be merged; order "
				"them with ORDER BY +at_ns",
				scan->process.process_id);
			return SQLITE_ERROR;
		}
		if (!order->count || scan->chunk_first_ns < low)
			low = scan->chunk_first_ns;
		if (!order->count || scan->chunk_last_ns > high)
			high = scan->chunk_last_ns;
		rc = part_load(&order->parts[order->count], scan);
		if (rc != SQLITE_ROW)
			return rc;
		order->count++;
	}
	return rc == SQLITE_DONE && order->count ? SQLITE_ROW : rc;
}

bool order_next(struct order *order, bool descending)
{
	int best = -1;
	uint64_t best_ns = 0;

	for (unsigned i = 0; i < order->count; i++) {
		struct order_part *part = &order->parts[i];
		unsigned row;
		uint64_t at_ns;

		if (part->at == part->columns.events)
			continue;
		if (order->count == 1) {
			best = 0;
			break;
		}
		row = descending ? part->columns.events - 1 - part->at : part->at;
		at_ns = part->columns.at_ns[part->sorted ? part->sorted[row] : row];
		if (best < 0 || (descending ? at_ns > best_ns : at_ns < best_ns)) {
			best = (int)i;
			best_ns = at_ns;
		}
	}
	if (best < 0)
		return false;
	order->current = (unsigned)best;
	order->parts[best].at++;
	return true;
}

void order_release(struct order *order)
{
	for (unsigned i = 0; i < ORDER_MOST; i++) {
		scan_reader_give(order->parts[i].reader);
		free(order->parts[i].sorted);
	}
	memset(order, 0, sizeof(*order));
}
