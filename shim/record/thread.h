/*
 * Threads of the process as the record knows them: numbers, buffers, begin and end.
 */
#ifndef HEAPTAPE_SHIM_RECORD_THREAD_H
#define HEAPTAPE_SHIM_RECORD_THREAD_H

#include "shim/record/record.h"

/* Gives the calling thread a buffer: a slot of the ring, or before there is one the bootstrap
 * buffer. NULL when there is none to be had. Callable in a signal handler. */
struct recorder *ht_thread_begin(void);

/* The name the calling thread has now: it may have got another one since it began. */
void ht_thread_name(struct ring_buffer *buffer);

/* A second recorder of the calling thread, for signal handlers that interrupt the first one. */
struct recorder *ht_thread_nested(void);

/* Moves what the bootstrap buffer holds into the ring's first slot, which is the calling thread's
 * from now on. The ring was just made. */
void ht_thread_adopt_bootstrap(void);

/* Forgets it instead: the process starts dormant. */
void ht_thread_drop_bootstrap(void);

/* Makes the key whose destructor ends threads' records. Called once, before there are threads. */
void ht_threads_init(void);

/* In a fork child: only the calling thread is left, and it has no buffer. */
void ht_threads_forget(void);

/* Sends what every buffer holds; for the end of a process that shares no memory with the daemon. */
void ht_threads_send_all(void);

#endif
