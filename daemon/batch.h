/*
 * A batch: some events of one thread, as columns, from the socket or read out of the shared
 * memory. After batch_check() every kind and class exists and the details add up; addresses,
 * sizes, stacks and ticks are still whatever the program wrote.
 */
#ifndef HEAPTAPE_DAEMON_BATCH_H
#define HEAPTAPE_DAEMON_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/slab.h"
#include "proto/event.h"
#include "proto/event.pb-c.h"

/* No sequence number reaches this. */
#define BATCH_MAX_SEQ (UINT64_C(1) << 48)

struct batch {
	const uint8_t *kinds;
	const uint8_t *classes;
	const uint64_t *ticks;
	const uint64_t *addresses;
	const uint32_t *sizes;
	const uint32_t *stacks;
	const uint64_t *details;
	uint64_t first_seq;
	uint32_t thread;
	uint32_t count;
	uint32_t details_count;

	/* The next event to take: events before `at` used `details_at` detail words. */
	uint32_t at;
	uint32_t details_at;

	struct batch *next; /* in the thread's queue */
	struct slab *slabs; /* where the columns lie, when the batch owns them */

	/* Its columns went to a file (daemon/spill.h), and came back if they are not NULL. */
	bool spilled;
	uint64_t spill_at, spill_ticks; /* offset there; ticks of the first event */
};

/* Detail words by [class == 0][kind byte]; BATCH_NO_KIND: no such kind. */
#define BATCH_NO_KIND 0xff
extern uint8_t batch_details[2][256];

/* Fills batch_details; once, before anything else here. */
void batch_setup(void);

static inline unsigned batch_event_details(const struct batch *batch, uint32_t i)
{
	return batch_details[batch->classes[i] == 0][batch->kinds[i]];
}

/* Columns of a message, whose lengths must agree. -EPROTO. */
int batch_from_message(struct batch *batch, const Heaptape__EventBatch *message);

/* Kinds exist, classes are at most `class_count`, details add up. -EPROTO. */
int batch_check(const struct batch *batch, unsigned class_count);

/* Passes over the next `events` events (at most what is left). */
void batch_skip(struct batch *batch, uint32_t events);

#endif
