#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "shim/clock.h"
#include "shim/libc.h"
#include "shim/sys.h"

bool ht_clock_is_cycles = true;
static bool by_call;

uint64_t ht_clock_ns(clockid_t clock)
{
	struct timespec now = { 0 };
	const struct libc *libc = ht_libc();

	if (by_call || !libc->clock_gettime || libc->clock_gettime(clock, &now) < 0)
		sys_call2(SYS_clock_gettime, clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Without /sys: a counter that never stops and never changes its rate is good enough. */
static bool cycles_are_steady(void)
{
#if defined(__x86_64__)
	unsigned a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8);
#elif defined(__aarch64__)
	return true;
#else
	return false;
#endif
}

void ht_clock_by_call(void)
{
	by_call = true;
	ht_clock_is_cycles = false;
}

/* What prctl(PR_SET_TSC) forbade stays forbidden in the programs that are started. */
static bool counter_is_forbidden(void)
{
	int mode = 0;

	return sys_call2(SYS_prctl, PR_GET_TSC, &mode) == 0 && mode == PR_TSC_SIGSEGV;
}

void ht_clock_init(void)
{
	static const char path[] =
		"/sys/devices/system/clocksource/clocksource0/current_clocksource";
	static const char *const names[] = { "tsc\n", "arch_sys_counter\n" };
	char text[32];
	long fd, bytes;

	if (counter_is_forbidden()) {
		ht_clock_by_call();
		return;
	}
	fd = sys_call4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0) {
		ht_clock_is_cycles = cycles_are_steady();
		return;
	}
	bytes = sys_call3(SYS_read, fd, text, sizeof(text));
	sys_call1(SYS_close, fd);
	ht_clock_is_cycles = false;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (bytes == (long)strlen(names[i]) && memcmp(text, names[i], (size_t)bytes) == 0)
			ht_clock_is_cycles = true;
}
