/*
 * Processes of a run that live and are not connected: a program between exec and its Hello, a static
 * program between two dynamic ones, a daemon whose parents have all exited. The parents' notes
 * (children.h, run.h) do not cover all of them. What all of them have is the run's token in their
 * environment, HEAPTAPE_RUN, as /proc shows it.
 */
#ifndef HEAPTAPE_DAEMON_PENDING_H
#define HEAPTAPE_DAEMON_PENDING_H

#include <stdint.h>
#include <sys/types.h>

/* One of them, which is watched so that /proc is searched again only after its end. */
struct pending {
	pid_t pid;
	int pidfd;	 /* -1: none is known */
	unsigned count;	 /* found together with it */
	unsigned unsure; /* in the middle of exec, when nobody can tell whether they belong to it */
};

/* Returns how many there are; at least 1 while that is uncertain, as a process is in the middle of exec.
 * 0 where /proc does not tell. */
unsigned pending_count(struct pending *pending, uint64_t token);

void pending_release(struct pending *pending);

#endif
