/*
 * A heap: the spans one thread allocates from, by class. It is made at the thread's first malloc
 * and abandoned when the thread ends: its spans go to the page heap's lists, where the next thread
 * that needs a span of the class adopts them. Only its own thread touches a heap.
 *
 * A signal handler may interrupt its own thread in the middle of that. It finds the heap taken (see
 * heap_take() in shim/alloc/alloc.h), allocates from an inner heap, and blocks of the outer one it frees as
 * those of another thread. A handler that interrupts that one has the next inner heap.
 */
#ifndef HEAPTAPE_SHIM_ALLOC_HEAP_H
#define HEAPTAPE_SHIM_ALLOC_HEAP_H

#include "shim/alloc/span.h"
#include "shim/alloc/types.h"

static inline void ht_heap_set(struct heap *heap)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	ht_heap = heap;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* Takes the heap, or has it already, to change it beyond a span's free list. */
static inline void ht_heap_rearrange(struct heap *heap)
{
	if (!heap->taken)
		heap_take(heap);
	heap->taken |= HEAP_REARRANGED;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/*
 * The calling thread's heap is taken. The one to allocate from instead: the same, if whoever took it
 * was left by a jump out of a signal handler; else one for handlers, or the thread's first, made when
 * missing. NULL: no memory.
 */
struct heap *ht_heap_free(void);

/* True when whoever took the heap was left like that, and it can be used again. */
bool ht_heap_regain(struct heap *heap);

/* The calling thread's heap is one for handlers. True: there is no need for that any more, a handler
 * was left by a jump; now it is another. */
bool ht_heap_back(void);

/* How often a heap was found like that. */
extern uint32_t ht_heaps_left;

/* A span of the class with a free block, made current; NULL: no memory. */
struct span *ht_heap_find(struct heap *heap, unsigned class);

/* A free brought `used` of an own span down to its trigger. */
void ht_heap_trigger(struct heap *heap, struct span *span);

/* Gives back the wholly free spans that the calling thread's heap keeps. */
void ht_heap_flush(void);

#endif
