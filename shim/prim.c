#include "shim/prim.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "shim/sys.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* Results -4095 .. -1 are errors. */
static bool failed(long ret)
{
	return ret < 0 && ret > -4096;
}

uint32_t prim_forbidden;

static void (*unmapping)(uintptr_t start, size_t bytes);

void prim_on_unmap(void (*tell)(uintptr_t start, size_t bytes))
{
	unmapping = tell;
}

static void tell_unmapping(uintptr_t start, size_t bytes)
{
	if (unmapping)
		unmapping(start, bytes);
}

/* This thread may make no system call but write; there is such a thread. */
static __thread bool confined __attribute__((tls_model("initial-exec")));
static bool have_confined;

static bool is_forbidden(enum prim_call call)
{
	return confined || prim_forbidden >> call & 1;
}

#define call(count, ...) (unlikely(confined) ? -EPERM : sys_call##count(__VA_ARGS__))

void prim_confine(bool on)
{
	have_confined = have_confined || on;
	confined = on;
}

uintptr_t prim_break(void)
{
	long ret = call(1, SYS_brk, 0);

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
	if (confined)
		return (uintptr_t)__curbrk;
	tell_unmapping(want, (size_t)1 << 32);
	ret = call(1, SYS_brk, want);
	__curbrk = failed(ret) ? (void *)prim_break() : (void *)ret;
	return (uintptr_t)__curbrk;
}

void *prim_map(size_t bytes)
{
	long ret = call(6, SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return failed(ret) ? NULL : (void *)ret;
}

void *prim_reserve(size_t bytes)
{
	long ret = call(6, SYS_mmap, 0, (long)bytes, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return failed(ret) ? NULL : (void *)ret;
}

/* Not by mprotect, which a program's filter of system calls need not allow. */
bool prim_make_writable(void *start, size_t bytes)
{
	return !failed(call(6, SYS_mmap, (long)start, (long)bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
}

bool prim_map_at(void *start, size_t bytes, bool gone)
{
	long ret =
		call(6, SYS_mmap, (long)start, (long)bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | (gone ? MAP_FIXED_NOREPLACE : MAP_FIXED), -1, 0);

	/* Kernels before 4.17 take the address for a hint. */
	if (!failed(ret) && ret != (long)start)
		call(2, SYS_munmap, ret, bytes);
	return ret == (long)start;
}

bool prim_open(void *start, size_t bytes)
{
	if (!is_forbidden(PRIM_MADVISE)) {
		call(3, SYS_madvise, start, bytes, MADV_DOFORK);
		call(3, SYS_madvise, start, bytes, MADV_KEEPONFORK);
	}
	return !is_forbidden(PRIM_PROTECT) &&
	       !failed(call(3, SYS_mprotect, start, bytes, PROT_READ | PROT_WRITE));
}

bool prim_unmap(void *start, size_t bytes)
{
	tell_unmapping((uintptr_t)start, bytes);
	return !failed(call(2, SYS_munmap, start, bytes));
}

bool prim_purge(void *start, size_t bytes)
{
	return !is_forbidden(PRIM_MADVISE) &&
	       !failed(call(3, SYS_madvise, start, bytes, MADV_DONTNEED));
}

bool prim_resident(uintptr_t start, size_t pages, unsigned char *ret_resident)
{
	return !is_forbidden(PRIM_MINCORE) &&
	       !failed(call(3, SYS_mincore, start, pages * PAGE_BYTES, ret_resident));
}

bool prim_move_out(void *from, void *to, size_t bytes)
{
	return !is_forbidden(PRIM_MREMAP) &&
	       !failed(call(5, SYS_mremap, from, bytes, bytes,
			    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to));
}

bool prim_move(void *from, size_t bytes, void *to, size_t to_bytes)
{
	return !is_forbidden(PRIM_MREMAP) && !failed(call(5, SYS_mremap, from, bytes, to_bytes,
							  MREMAP_MAYMOVE | MREMAP_FIXED, to));
}

bool prim_resize(void *start, size_t old_bytes, size_t new_bytes)
{
	if (new_bytes < old_bytes)
		tell_unmapping((uintptr_t)start + new_bytes, old_bytes - new_bytes);
	return !is_forbidden(PRIM_MREMAP) &&
	       !failed(call(4, SYS_mremap, start, old_bytes, new_bytes, 0));
}

void prim_complain(const char *text, size_t bytes)
{
	while (bytes > 0 && prim_may(PRIM_WRITE)) {
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
		call(2, SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec;
}

int prim_tid(void)
{
	return is_forbidden(PRIM_GETTID) ? 0 : (int)call(0, SYS_gettid);
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
		call(0, SYS_sched_yield);
	}
}

static bool spin(struct prim_lock *lock)
{
	for (unsigned round = 0; round < 100; round++) {
		prim_relax(round);
		if (__atomic_load_n(&lock->word, __ATOMIC_RELAXED) == 0 && prim_try_lock(lock))
			return true;
	}
	return false;
}

void prim_lock_wait(struct prim_lock *lock)
{
	static const struct timespec short_time = { 0, 10000000 };

	if (spin(lock))
		return;
	/* A confined thread wakes nobody. */
	while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0)
		call(4, SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, 2,
		     have_confined ? &short_time : NULL);
}

bool prim_lock_wait_for(struct prim_lock *lock, unsigned milliseconds)
{
	if (spin(lock))
		return true;
	while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0)
		if (!prim_sleep_on(&lock->word, 2, milliseconds))
			return __atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) == 0;
	return true;
}

bool prim_sleep_on(uint32_t *word, uint32_t seen, unsigned milliseconds)
{
	struct timespec limit = { milliseconds / 1000, milliseconds % 1000 * 1000000L };

	return call(4, SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &limit) != -ETIMEDOUT;
}

void prim_wake_all(uint32_t *word)
{
	call(3, SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

uint32_t *prim_copy_mark(void)
{
	uint32_t *mark = prim_map(PAGE_BYTES);

	if (!mark)
		return NULL;
	if (call(3, SYS_madvise, mark, PAGE_BYTES, MADV_WIPEONFORK) < 0) {
		call(2, SYS_munmap, mark, PAGE_BYTES);
		return NULL;
	}
	*mark = 1;
	return mark;
}

void prim_lock_wake(struct prim_lock *lock)
{
	call(3, SYS_futex, &lock->word, FUTEX_WAKE_PRIVATE, 1);
}
