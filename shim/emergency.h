/*
 * Blocks for signal handlers that interrupted the page heap: its lock is held by what they
 * interrupted, so they cannot have pages. What they get comes from a small reserve, which is empty
 * again as soon as all of it was freed.
 */
#ifndef HEAPTAPE_SHIM_EMERGENCY_H
#define HEAPTAPE_SHIM_EMERGENCY_H

#include <stdbool.h>
#include <stddef.h>

#include "shim/record.h"

/* A zeroed block, NULL when this is no such case or there is no room. */
void *ht_emergency_take(size_t size_bytes);

bool ht_emergency_owns(const void *p);
size_t ht_emergency_bytes(const void *p);
size_t ht_emergency_usable(const void *p);
struct block_meta *ht_emergency_meta(void *p);
void ht_emergency_free(void *p);

#endif
