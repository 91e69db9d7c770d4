/*
 * Names for a finished run's frames are looked up by a program of its own (daemon/symbols.h), one
 * at a time; recording goes on meanwhile.
 */
#ifndef HEAPTAPE_DAEMON_RESOLVER_H
#define HEAPTAPE_DAEMON_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct server;
struct event;

struct resolver {
	struct server *server;
	pid_t pid; /* 0: none runs */
	int fd;
	struct event *readable;
	bool wanted;	    /* once more after this one ... */
	int64_t wanted_run; /* ... for this run, 0 all */
};

void resolver_request(struct resolver *resolver, int64_t run_id);
/* Forgets a resolver that runs; it goes on by itself. */
void resolver_release(struct resolver *resolver);

#endif
