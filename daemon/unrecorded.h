/*
 * Programs of a run that are not recorded (message Unrecorded): each is a row of table processes with
 * the reason, and the run is incomplete.
 *
 * A process that becomes such a program says so before, on a connection that exec closes; if exec fails
 * it takes that back. So the row is made when the connection ends. And a process that says Hello as the
 * very file that was announced is recorded after all: an emulator that loads the shim into its guest
 * (valgrind).
 */
#ifndef HEAPTAPE_DAEMON_UNRECORDED_H
#define HEAPTAPE_DAEMON_UNRECORDED_H

#include <stdbool.h>
#include <sys/types.h>

#include "daemon/run.h"

/* What was announced on a connection. */
struct unrecorded;

/* A message on a connection of its own, of the process `pid`. Takes over the descriptor that came with it,
 * if it needs that (then `*passed_fd` is -1). 0 or negative errno. */
int unrecorded_new(struct daemon *daemon, const Heaptape__Unrecorded *message, int connection,
		   pid_t pid, int *passed_fd, struct unrecorded **ret_unrecorded);

/* Another message there: it is taken back. */
int unrecorded_take_back(struct unrecorded *unrecorded, const Heaptape__Unrecorded *message);

/* Nobody is there any more who could take it back, though the connection is open (in a child). */
bool unrecorded_is_due(const struct unrecorded *unrecorded);

/* That connection is over: makes the row, unless it was taken back. */
void unrecorded_end(struct unrecorded *unrecorded);

/* The program that the command has started. */
void unrecorded_program(struct run *run, const Heaptape__Unrecorded *message);

#endif
