/*
 * A heap: the spans one thread allocates from, by class. It is made at the thread's first malloc
 * and abandoned when the thread ends: its spans go to the page heap's lists, where the next thread
 * that needs a span of the class adopts them. Only its own thread touches a heap. A thread whose
 * signal handlers allocate has further ones.
 */
#ifndef HEAPTAPE_SHIM_HEAP_H
#define HEAPTAPE_SHIM_HEAP_H

#include "shim/span.h"
#include "shim/types.h"

/* The calling thread's heap, made when missing; NULL: no memory. */
struct heap *ht_heap_get(void);

/*
 * While a heap is rearranged its thread has none, so that a signal handler which interrupts this gets
 * another one; blocks of the interrupted heap it frees as those of another thread. NULL: no memory.
 */
struct heap *ht_heap_enter(void);
void ht_heap_leave(struct heap *heap);

/* A span of the class with a free block, made current; NULL: no memory. */
struct span *ht_heap_find(struct heap *heap, unsigned class);

/* A free brought `used` of an own span down to its trigger. */
void ht_heap_trigger(struct heap *heap, struct span *span);

/* Gives back the wholly free spans that the calling thread's heap keeps. */
void ht_heap_flush(void);

#endif
