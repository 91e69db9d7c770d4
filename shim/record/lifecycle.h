/*
 * A process's record from its begin to its end.
 *
 *   before the constructor   every event goes into the bootstrap buffer
 *   constructor              settings are read, the daemon is called; or recording ends right here
 *   fork                     the child has a connection and shared memory of its own (fork.c)
 *   exit, _exit, exec        how it ended is written into the shared memory, where the daemon
 *                            finds it after the connection's end; whatever was not sent is there too
 */
#ifndef HEAPTAPE_SHIM_RECORD_LIFECYCLE_H
#define HEAPTAPE_SHIM_RECORD_LIFECYCLE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/event.h"
#include "shim/control.h"

/* Connects, makes the shared memory and says Hello. The calling thread is the only one. False: this
 * process is not recorded. */
bool ht_begin(bool forked);

/* From now on events are recorded while the daemon wants it. */
void ht_watch(void);

/* The process is about to end (or, for PROCESS_EXEC, to become another program). Does nothing in a
 * vfork child, which only borrows our memory. */
void ht_ending(enum process_end how, int code);

/* Without a daemon: from now on stacks can be captured, for reports of misuse. */
void ht_stacks_alone(void);

/* exec failed: it goes on after all. */
void ht_ending_failed(void);

#endif
