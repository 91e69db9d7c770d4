/*
 * Switching the recording of a run that goes on, and snapshots of it: what the command asks with a
 * RunControl frame. A run says whether it is recorded; its processes follow through the control word
 * in their shared memory (proto/ring.h), each at its next allocation call.
 */
#ifndef HEAPTAPE_DAEMON_CONTROL_H
#define HEAPTAPE_DAEMON_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/process.h"
#include "proto/event.pb-c.h"

/* HEAPTAPE_DORMANT is among these NAME=value settings and not 0. */
bool control_dormant(char *const *settings, size_t count);

/* A process that has just said Hello begins as it began, then follows its run. */
void control_new_process(struct process *process, const Heaptape__Hello *hello);

/* Regular work: processes that could not follow at once do so. */
void control_tick(struct daemon *daemon);

/* Takes up a request; it is answered by control_check(), at once or in some later tick. */
int control_request(struct peer *peer, const Heaptape__RunControl *message);
void control_check(struct peer *peer);
/* The connection is over, answered or not. */
void control_gone(struct peer *peer);

#endif
