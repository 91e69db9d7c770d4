/*
 * Misuse of the heap by the program: one message on stderr, then abort; with
 * HEAPTAPE_ON_ERROR=continue it is counted and the call does nothing.
 */
#ifndef HEAPTAPE_SHIM_MISUSE_H
#define HEAPTAPE_SHIM_MISUSE_H

#include <stdint.h>

/* How often the program misused its heap, when it goes on after that. */
extern uint64_t ht_misuses;

#endif
