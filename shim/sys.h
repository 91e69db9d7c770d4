/*
 * System calls made directly: they leave errno alone, are no cancellation points, and cannot end up
 * in a function that the program (or we) put in libc's place. Each returns the kernel's value:
 * negative errno on failure.
 */
#ifndef HEAPTAPE_SHIM_SYS_H
#define HEAPTAPE_SHIM_SYS_H

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

static inline long sys_call6(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#else
#error "heaptape's shim needs system calls for this architecture here"
#endif
}

#define sys_call0(n) sys_call6(n, 0, 0, 0, 0, 0, 0)
#define sys_call1(n, a) sys_call6(n, (long)(a), 0, 0, 0, 0, 0)
#define sys_call2(n, a, b) sys_call6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define sys_call3(n, a, b, c) sys_call6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sys_call4(n, a, b, c, d) sys_call6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define sys_call5(n, a, b, c, d, e) \
	sys_call6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

/* What the C library's wrapper would return: -1 and errno instead of a negative value. */
static inline long sys_result(long ret)
{
	if (ret < 0 && ret > -4096) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}

/* Blocks every signal for this thread; `saved` is for sys_signals_restore. */
static inline void sys_signals_block(uint64_t *saved)
{
	uint64_t all = ~(uint64_t)0;

	sys_call4(SYS_rt_sigprocmask, SIG_BLOCK, &all, saved, sizeof(all));
}

static inline void sys_signals_restore(const uint64_t *saved)
{
	sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, saved, 0, sizeof(*saved));
}

#endif
