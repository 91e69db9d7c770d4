/*
 * Switching the recording of a run that goes on, and snapshots of it: what the command asks with a
 * RunControl frame. A run says whether it is recorded; its processes follow through the control word
 * in their shared memory (proto/ring.h), each at its next allocation call.
 */
#ifndef HEAPTAPE_DAEMON_CONTROL_H
#define HEAPTAPE_DAEMON_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/peer.h"
#include "proto/event.pb-c.h"

/* Takes up a request; it is answered by control_check(), at once or in some later tick. */
int control_request(struct peer *peer, const Heaptape__RunControl *message);
void control_check(struct peer *peer);
/* The connection is over, answered or not. */
void control_gone(struct peer *peer);

#endif
