/*
 * Whose frame is at work. What a signal handler may come in the middle of is marked with the stack
 * pointer of the call that does it, so that one which a handler left by a jump can be told from one that
 * was interrupted.
 */
#ifndef HEAPTAPE_SHIM_FRAME_H
#define HEAPTAPE_SHIM_FRAME_H

#include <stdbool.h>
#include <stdint.h>

/* Of the calling frame; never 0. */
static inline __attribute__((always_inline)) uint32_t frame_token(void)
{
#if defined(__x86_64__)
	uint32_t token;

	__asm__ volatile("lea 1(%%rsp), %k0" : "=r"(token));
	return token;
#else
	return (uint32_t)(uintptr_t)__builtin_frame_address(0) | 1;
#endif
}

/* The frame's stack pointer itself, in one store. */
static inline __attribute__((always_inline)) void frame_store(uintptr_t *to)
{
#if defined(__x86_64__)
	__asm__ volatile("mov %%rsp, %0" : "=m"(*to));
#else
	*to = (uintptr_t)__builtin_frame_address(0);
#endif
}

/* Was the frame of that token, or with those low bits of a stack pointer, left for good? It is one of
 * this thread's, and none that called us. */
bool ht_frame_was_left(uint32_t token);

#endif
