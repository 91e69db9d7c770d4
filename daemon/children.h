/*
 * Forked children on their way: the ring of each process says how many there are, in `forks`.
 *
 * A child that cannot connect by the socket's name sends us an end of a pair of sockets through the
 * connection it has from its parent (proto/wire.h), or counts itself there in `lost_forks`. Either
 * way it closes that connection only then. So when a process has ended and its connection is still
 * open, a child of it lives that has not said Hello: the connection stays, in state PEER_LEFT, until
 * its last holder has closed it.
 */
#ifndef HEAPTAPE_DAEMON_CHILDREN_H
#define HEAPTAPE_DAEMON_CHILDREN_H

#include <stdbool.h>

#include "daemon/peer.h"

/* Is a descriptor that came through a connection another one? Then it is a peer now, or closed. */
bool children_take(struct peer *parent, int fd);

/* One was lost on its way, as there is no descriptor or memory left here. */
void children_lost(struct peer *parent);

/* Takes over what the process has counted by now. */
void children_count(struct peer *parent);

/* The process has ended: its rows are final now, and its connection is left open to its children. */
void children_await(struct peer *parent);

/* It is about to be closed. */
void children_done(struct peer *parent);

#endif
