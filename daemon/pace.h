/*
 * When a peer is read. A program that streams would wake us with every batch, and it is the program
 * that pays for the waking: on a virtual machine some 20 us each time, as much as the batch itself.
 * So after bytes have come, a program's socket is left alone for a moment, in which they gather in
 * it; what comes too fast to fit there, and what has been quiet, wakes us at once.
 */
#ifndef HEAPTAPE_DAEMON_PACE_H
#define HEAPTAPE_DAEMON_PACE_H

#include <stdbool.h>

struct peer;

/* Begins to read. False: no memory. */
bool pace_begin(struct peer *peer);

/* Never again. */
void pace_end(struct peer *peer);

#endif
