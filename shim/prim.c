#include "shim/prim.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "shim/sys.h"
#include "shim/unwind.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* Results -4095 .. -1 are errors. */
static bool failed(long ret)
{
	return ret < 0 && ret > -4096;
}

uintptr_t prim_break(void)
{
	long ret = sys_call1(SYS_brk, 0);

	/* The call knows no errors, but a seccomp filter does. */
	return failed(ret) ? 0 : (uintptr_t)ret;
}

/* What the C library takes for the break: its own malloc, where somebody still calls it, would set it
 * back otherwise. */
extern void *__curbrk;

uintptr_t prim_break_set(uintptr_t want)
{
	long ret;

	/* A coroutine's stack may lie in a block; where the break was is not asked for this. */
	ht_stack_unmapped(want, (size_t)1 << 32);
	ret = sys_call1(SYS_brk, want);
	__curbrk = failed(ret) ? (void *)prim_break() : (void *)ret;
	return (uintptr_t)__curbrk;
}

uint32_t prim_forbidden;

static bool is_forbidden(enum prim_call call)
{
	return prim_forbidden >> call & 1;
}

void *prim_map(size_t bytes)
{
	long ret = sys_call6(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return failed(ret) ? NULL : (void *)ret;
}

void *prim_map_unwritable(size_t bytes)
{
	long ret =
		sys_call6(SYS_mmap, 0, (long)bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return failed(ret) ? NULL : (void *)ret;
}

/* Not by mprotect, which a program's filter of system calls need not allow. */
bool prim_make_writable(void *start, size_t bytes)
{
	return !failed(sys_call6(SYS_mmap, (long)start, (long)bytes, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
}

bool prim_unmap(void *start, size_t bytes)
{
	ht_stack_unmapped((uintptr_t)start, bytes);
	return !failed(sys_call2(SYS_munmap, start, bytes));
}

bool prim_purge(void *start, size_t bytes)
{
	return !is_forbidden(PRIM_MADVISE) &&
	       !failed(sys_call3(SYS_madvise, start, bytes, MADV_DONTNEED));
}

bool prim_move_pages(void *from, void *to, size_t bytes)
{
	return !is_forbidden(PRIM_MREMAP) &&
	       !failed(sys_call5(SYS_mremap, from, bytes, bytes,
				 MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to));
}

bool prim_resize(void *start, size_t old_bytes, size_t new_bytes)
{
	if (new_bytes < old_bytes)
		ht_stack_unmapped((uintptr_t)start + new_bytes, old_bytes - new_bytes);
	return !is_forbidden(PRIM_MREMAP) &&
	       !failed(sys_call4(SYS_mremap, start, old_bytes, new_bytes, 0));
}

void prim_complain(const char *text, size_t bytes)
{
	while (bytes > 0) {
		long ret = sys_call3(SYS_write, STDERR_FILENO, text, bytes);

		if (ret == -EINTR)
			continue;
		if (ret <= 0)
			return;
		text += ret;
		bytes -= (size_t)ret;
	}
}

uint64_t prim_seconds(void)
{
	struct timespec now = { 0 };

	if (!is_forbidden(PRIM_CLOCK))
		sys_call2(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec;
}

int prim_tid(void)
{
	return is_forbidden(PRIM_GETTID) ? 0 : (int)sys_call0(SYS_gettid);
}

void prim_relax(unsigned round)
{
	if (round < 64) {
#if defined(__x86_64__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ volatile("yield");
#endif
	} else {
		sys_call0(SYS_sched_yield);
	}
}

void prim_lock_wait(struct prim_lock *lock)
{
	for (unsigned round = 0; round < 100; round++) {
		uint32_t expect = 0;

		prim_relax(round);
		if (__atomic_load_n(&lock->word, __ATOMIC_RELAXED) == 0 &&
		    __atomic_compare_exchange_n(&lock->word, &expect, 1, false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return;
	}
	while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0)
		sys_call4(SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, 2, 0);
}

void prim_lock_wake(struct prim_lock *lock)
{
	sys_call3(SYS_futex, &lock->word, FUTEX_WAKE_PRIVATE, 1);
}
