#include "proto/clock.h"
#include "daemon/clock.h"

#define MEASURE_NS 10000000u /* an error of 20 ns in it is 2 in a million */

static struct {
	bool started, measured;
	uint64_t ticks, ns;
	uint64_t ns_per_tick;
} clock_base;

static uint64_t cycles_now(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return clock_monotonic_ns();
#endif
}

static uint64_t read_clock(clockid_t id)
{
	struct timespec now = clock_read(id);

	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

/* Both clocks at one moment: the reading that was interrupted least of several. */
static void read_both(uint64_t *ret_ticks, uint64_t *ret_ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = cycles_now();
		uint64_t ns = clock_monotonic_ns();
		uint64_t after = cycles_now();

		if (after - before < best) {
			best = after - before;
			*ret_ticks = before + (after - before) / 2;
			*ret_ns = ns;
		}
	}
}

void clock_start(void)
{
	read_both(&clock_base.ticks, &clock_base.ns);
	clock_base.started = true;
}

static void measure(void)
{
	uint64_t ticks = 0, ns = 0, passed;

	if (!clock_base.started)
		clock_start();
	passed = clock_monotonic_ns() - clock_base.ns;
	if (passed < MEASURE_NS) {
		struct timespec rest = { 0, (long)(MEASURE_NS - passed) };

		nanosleep(&rest, NULL);
	}
	read_both(&ticks, &ns);
	clock_base.ns_per_tick = UINT64_C(1) << 32;
	if (ticks > clock_base.ticks)
		clock_base.ns_per_tick =
			(uint64_t)(((unsigned __int128)(ns - clock_base.ns) << 32) /
				   (ticks - clock_base.ticks));
	clock_base.measured = true;
}

struct clock_scale clock_scale_get(bool cycles)
{
	struct clock_scale scale = { .ns_per_tick = UINT64_C(1) << 32 };

	if (!cycles)
		return scale;
	if (!clock_base.measured)
		measure();
	scale.ticks0 = clock_base.ticks;
	scale.ns0 = clock_base.ns;
	scale.ns_per_tick = clock_base.ns_per_tick;
	return scale;
}

uint64_t clock_ticks_now(bool cycles)
{
	return cycles ? cycles_now() : clock_monotonic_ns();
}
