/* A recording without a daemon: what is sent arrives at the other end of a pair of sockets. */
#ifndef HEAPTAPE_TESTS_RECORDING_H
#define HEAPTAPE_TESTS_RECORDING_H

#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/record/lifecycle.h"
#include "shim/link.h"
#include "shim/ring.h"
#include "shim/record/thread.h"

/* Everything that a call of malloc or free looks at; *ret_peer never blocks. 0 or -1. */
static inline int recording_begin(bool on, int *ret_peer)
{
	struct stat status;
	int ends[2];

	ht_clock_init();
	if (ht_ring_make(&ht_ring) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ||
	    fstat(ends[0], &status) || fcntl(ends[1], F_SETFL, O_NONBLOCK))
		return -1;
	ht_link.fd = ends[0];
	ht_link.inode = status.st_ino;
	ht_link.state = LINK_ON;
	ht_pid = getpid();
	ht_ring.head->control = on ? RING_CONTROL_RECORD : 0;
	ht_control_set(&ht_ring.head->control);
	ht_threads_init();
	*ret_peer = ends[1];
	return 0;
}

#endif
