/*
 * When a peer is read. A program that streams would wake us with every batch, and it is the program
 * that pays for the waking: on a virtual machine some 20 us each time, as much as the batch itself.
 * So after bytes have come, a program's socket is left alone for a moment, in which they gather in
 * it; what comes too fast to fit there, and what has been quiet, wakes us at once.
 */
#ifndef HEAPTAPE_DAEMON_PACE_H
#define HEAPTAPE_DAEMON_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct event;
struct pace;

/* What the owner of a pace is told, from the loop. */
struct pace_calls {
	/* It is time to read. Returns the bytes that came, or a negative errno when the connection is over and
	 * the pace, freed with pace_end(), is no more. `ret_streams`: more may be left to gather. */
	int64_t (*read)(struct pace *pace, bool *ret_streams);
};

struct pace {
	const struct pace_calls *calls;
	struct event *readable;
	struct event *rested; /* while `readable` is off: when it is read again */
	uint64_t read_ns;     /* when it was last looked, CLOCK_MONOTONIC */
	unsigned looks;	      /* in vain, that are left before it is to wake us */
};

/* Begins to read. False: no memory. */
bool pace_begin(struct pace *pace, struct event_base *base, int fd, const struct pace_calls *calls);

/* Never again. */
void pace_end(struct pace *pace);

#endif
