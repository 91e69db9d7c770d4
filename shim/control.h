/* Whether this process is recorded at all, and whether just now: one word, which the daemon writes. */
#ifndef HEAPTAPE_SHIM_CONTROL_H
#define HEAPTAPE_SHIM_CONTROL_H

#include "proto/ring.h"
#include "shim/common.h"

/* The process that is recorded here; 0: none. */
extern int ht_pid;

/* Our malloc is never called (shim/misuse/foreign.h): the daemon knows the process and its forks, but
 * there are no events. */
extern bool ht_replaced;

/* Every block has a guard (shim/misuse/guarded.h). */
extern bool ht_guard_on;

/* Points at the word whose RING_CONTROL_RECORD bit says whether to record. */
extern const uint32_t *ht_control;

/* What malloc and its family look at: ht_control, or with --guard a word that says yes. */
extern const uint32_t *ht_entry HT_HIDDEN;

/* Sets both. */
void ht_control_set(const uint32_t *word);

static inline bool ht_recording(void)
{
	return __atomic_load_n(ht_control, __ATOMIC_RELAXED) & RING_CONTROL_RECORD;
}

/* True when calls of malloc and its family go by way of traced.c. */
static inline bool ht_traced(void)
{
	return __atomic_load_n(ht_entry, __ATOMIC_RELAXED) & RING_CONTROL_RECORD;
}

#endif
