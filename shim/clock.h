/*
 * The recorder's clock: the cycle counter where it is the kernel's own clock source, else
 * CLOCK_MONOTONIC in nanoseconds. Which one is decided once, before the first event, and told to
 * the daemon in Hello, which turns ticks into time.
 */
#ifndef HEAPTAPE_SHIM_CLOCK_H
#define HEAPTAPE_SHIM_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

extern bool ht_clock_is_cycles;

/* Decides which clock is used. Raw system calls only; callable before any constructor ran. */
void ht_clock_init(void);

/* The counter may not be read any more, not even by the kernel's code in this process (vDSO): from now
 * on time is asked for by system call, in nanoseconds. */
void ht_clock_by_call(void);

/* The kernel's, whatever the program makes of clock_gettime. */
uint64_t ht_clock_ns(clockid_t clock);

static inline uint64_t ht_clock_cycles(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t cycles;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(cycles));
	return cycles;
#else
	return ht_clock_ns(CLOCK_MONOTONIC);
#endif
}

static inline uint64_t ht_clock_ticks(void)
{
	if (__builtin_expect(ht_clock_is_cycles, true))
		return ht_clock_cycles();
	return ht_clock_ns(CLOCK_MONOTONIC);
}

#endif
