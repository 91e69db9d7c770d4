/* A choice that is never made by a jump: for one that cannot be predicted. */
#ifndef HEAPTAPE_SHIM_STACK_SELECT_H
#define HEAPTAPE_SHIM_STACK_SELECT_H

#include <stdint.h>

/* a == b ? yes : no. Compilers like to make a jump of it. */
static inline uint64_t select_if_same(uint64_t a, uint64_t b, uint64_t yes, uint64_t no)
{
#if defined(__x86_64__)
	__asm__("cmpq %2, %1\n\tcmoveq %3, %0" : "+r"(no) : "r"(a), "r"(b), "r"(yes) : "cc");
	return no;
#else
	return a == b ? yes : no;
#endif
}

#endif
