/*
 * What the allocation loads share: a random number generator that costs next to nothing, and the
 * line each prints at its end: "NAME operations seconds". An operation is one call of malloc's
 * family.
 */
#ifndef HEAPTAPE_TESTS_BENCH_ALLOC_BENCH_H
#define HEAPTAPE_TESTS_BENCH_ALLOC_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline uint64_t bench_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x * 0x2545f4914f6cdd1dull >> 16;
}

static inline double bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The load's size: how often it goes round, from argv[at]. */
static inline size_t bench_argument(int argc, char **argv, int at, size_t otherwise)
{
	return argc > at ? strtoull(argv[at], NULL, 10) : otherwise;
}

static inline void bench_report(const char *name, uint64_t operations, double began)
{
	printf("%s %llu %.3f\n", name, (unsigned long long)operations, bench_now() - began);
}

#endif
