/*
 * Names of functions are looked up by a program of its own (daemon/symbols/symbols.h), one at a time, and
 * written here as they come:
 *
 *   while programs run   at the lowest priority, some time after new places in the code were seen;
 *                        the longer that takes, the longer until the next time
 *   when a run is over, or somebody asks   at once
 *
 * Recording goes on meanwhile, and does not depend on that program in any way.
 */
#ifndef HEAPTAPE_DAEMON_RESOLVER_H
#define HEAPTAPE_DAEMON_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/daemon.h"
#include "daemon/symbols/symbols.h"

struct event_base;
struct event;

/* What the resolver's owner is told. */
struct resolver_calls {
	/* A look-up has ended, and what it found is committed: somebody may wait for that. Called from the
	 * loop; must not look up anything at once. */
	void (*changed)(void *context);
};

struct resolver {
	struct symbols_sink sink;
	struct daemon *daemon;
	struct event_base *base; /* of its owner, before anything is looked up */
	const struct resolver_calls *calls;
	void *context;
	struct symbols_worker worker; /* pid 0: none runs */
	struct symbols_store store;
	struct event *readable;
	int64_t run_id; /* whose names it looks up, 0 all */
	bool low;
	bool again;	    /* it has died once already */
	bool wanted;	    /* once more after this one ... */
	int64_t wanted_run; /* ... for this run, 0 all */
	uint64_t began_ns, heard_ns;

	uint64_t frames_seen; /* of daemon.frames_stored, before the latest look-up began */
	uint64_t new_ns;      /* there is something new since; 0: there is not */
	uint64_t due_ns;      /* not at low priority before */
	uint64_t maps_ns;     /* perf maps were checked */
};

void resolver_init(struct resolver *resolver, struct daemon *daemon,
		   const struct resolver_calls *calls, void *context);
/* Looks up the names of a run, 0: all, at once. */
void resolver_request(struct resolver *resolver, int64_t run_id);
/* Regular work. */
void resolver_tick(struct resolver *resolver);
/* The daemon ends: what is left to do is done without it. */
void resolver_release(struct resolver *resolver);

#endif
