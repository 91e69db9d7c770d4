/* The call stack of the program's call, for the functions that record it. */
#ifndef HEAPTAPE_SHIM_STACK_CAPTURE_H
#define HEAPTAPE_SHIM_STACK_CAPTURE_H

#include <stdbool.h>

#include "shim/stack/unwind.h"

/* HEAPTAPE_STACKS is not 0, and the recording has begun. */
extern bool ht_stacks_on;

/* The same for HEAPTAPE_FREE_STACKS. */
extern bool ht_free_stacks_on;

/* Node of the caller's stack, 0 for none. Only in a noinline function that the exported name
 * jumped to. */
#define HT_STACK_HERE() (__builtin_expect(ht_stacks_on, 1) ? HT_STACK_OF_CALLER() : 0)

#endif
