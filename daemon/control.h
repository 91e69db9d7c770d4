/*
 * Switching the recording of a run that goes on, and marks in it: what the command asks with a
 * RunControl frame. A run says whether it is recorded; its processes follow (follow.c).
 */
#ifndef HEAPTAPE_DAEMON_CONTROL_H
#define HEAPTAPE_DAEMON_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/daemon.h"
#include "proto/event.pb-c.h"

struct resolver;
struct control;

/* Of one connection that asks. */
struct control_calls {
	/* The answer, to be sent. Called in control_request() and control_check(); the connection must still be
	 * there afterwards. */
	void (*send)(struct control *control, const Heaptape__Frame *frame);
};

/* All that are connected. */
struct controls {
	struct daemon *daemon;
	struct resolver *resolver;
	struct control *first; /* in the order in which they came */
};

/* What a RunControl frame asks, until the connection is over. */
struct control {
	struct controls *all;
	struct control *next;
	const struct control_calls *calls;
	int64_t run_id;
	enum _Heaptape__RunControlAction action;
	char label[256];
	uint64_t began_ns, until_ns; /* CLOCK_MONOTONIC */
	bool off_again; /* a mark amid dormant processes: they are so again afterwards */
	bool stored;	/* the mark is set; symbols are looked up */
	uint64_t at_ns; /* of the mark, since the run began */
	bool answered;
};

/* Takes up a request; it is answered by control_check(), at once or in some later tick. */
int control_request(struct controls *controls, struct control *control,
		    const struct control_calls *calls, const Heaptape__RunControl *message);
void control_check(struct control *control);
/* The connection is over, answered or not. */
void control_gone(struct control *control);

/* Regular work. */
void controls_check(struct controls *controls);

#endif
