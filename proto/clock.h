/*
 * The kernel's clock. clock_gettime may be another's: a preloaded library (libfaketime) replaces it for
 * the recorded program's sake, and for everybody whose child that program is.
 */
#ifndef HEAPTAPE_PROTO_CLOCK_H
#define HEAPTAPE_PROTO_CLOCK_H

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline struct timespec clock_read(clockid_t clock)
{
	struct timespec now = { 0 };
#ifdef __x86_64__
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(SYS_clock_gettime), "D"(clock), "S"(&now)
			 : "rcx", "r11", "memory");
#else
	syscall(SYS_clock_gettime, clock, &now);
#endif
	return now;
}

#endif
