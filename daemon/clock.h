/*
 * Time. Programs stamp events in ticks of a clock they name in Hello; the store holds nanoseconds
 * since the run began. The cycle counter is measured against CLOCK_MONOTONIC once in the daemon's
 * life: with one multiplier for all, the order of ticks is the order of nanoseconds everywhere.
 */
#ifndef HEAPTAPE_DAEMON_CLOCK_H
#define HEAPTAPE_DAEMON_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* No time in the store is above this, whatever a program claims. */
#define CLOCK_MAX_NS (UINT64_C(1) << 62)

/* ns = ns0 + (ticks - ticks0) * ns_per_tick / 2^32 */
struct clock_scale {
	uint64_t ticks0;
	uint64_t ns0;
	uint64_t ns_per_tick; /* 32.32 */
};

/* Takes the first reading; call it as early as possible. */
void clock_start(void);

/* The scale from a program's ticks to CLOCK_MONOTONIC. Finishes the measurement when needed, which
 * may sleep for some milliseconds the first time. */
struct clock_scale clock_scale_get(bool cycles);

/* What a program's clock shows now. */
uint64_t clock_ticks_now(bool cycles);

uint64_t clock_monotonic_ns(void);
uint64_t clock_realtime_ns(void);

/* Nanoseconds, 0 .. CLOCK_MAX_NS; times before the scale's zero become 0. */
static inline uint64_t clock_ns(const struct clock_scale *scale, uint64_t ticks)
{
	__int128 product = (__int128)(int64_t)(ticks - scale->ticks0) * (int64_t)scale->ns_per_tick;
	uint64_t ns = scale->ns0 + (uint64_t)(product >> 32);

	if (__builtin_expect(ns >= CLOCK_MAX_NS, 0))
		return (int64_t)ns < 0 ? 0 : CLOCK_MAX_NS;
	return ns;
}

#endif
