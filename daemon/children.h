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
#include <stdint.h>
#include <sys/types.h>

#include "daemon/ring.h"
#include "daemon/run.h"

/* The children of one process. */
struct children {
	int64_t process_id;
	uint32_t forks, lost_forks, lost_execs,
		spawns;	  /* as its memory says; taken over by the run */
	struct ring ring; /* its memory, once it has ended; its descriptor is -1 before */
};

/* Is a descriptor that came through a connection another one, that a child has sent? And who made it;
 * that its parent is served is enough. */
bool children_is_connection(int fd, pid_t *ret_pid);

/* One was lost on its way, as there is no descriptor or memory left here. NULL: of no run. */
void children_lost(struct run *run);

/* Takes over what the process has counted by now in its memory. */
void children_count(struct children *children, struct run *run, struct ring *ring);

/* The process ends, and its connection is left open to its children: keeps its memory. */
void children_await(struct children *children, struct run *run, struct ring *ring);

/* That connection is about to be closed. */
void children_done(struct children *children, struct run *run);

#endif
