/*
 * The one file that asks the operating system for memory. Raw system calls: errno is left alone and
 * nothing the program put in libc's place is reached. Page events are recorded by the callers.
 */
#ifndef HEAPTAPE_SHIM_PRIM_H
#define HEAPTAPE_SHIM_PRIM_H

#include "shim/types.h"

/* The break now; 0: we may not ask. */
uintptr_t prim_break(void);

/* Asks for the break to be `want`; returns what it is afterwards (`want`, or unchanged). Pages
 * added are zero and untouched; pages removed are gone with their contents. */
uintptr_t prim_break_set(uintptr_t want);

/* Private zero pages anywhere, page aligned, untouched. NULL: no memory or address space. */
void *prim_map(size_t bytes);

/* The same, but such as cannot be written to yet. Those do not count towards RLIMIT_DATA. */
void *prim_map_unwritable(size_t bytes);

/* Whole pages that nothing was written to yet: zero pages that can be written to take their place, at
 * once for whoever reads them meanwhile. False: no memory. */
bool prim_make_writable(void *start, size_t bytes);

/* Removes whole pages of a mapping. False: refused (the kernel's limit on mappings); the pages are
 * still there. */
bool prim_unmap(void *start, size_t bytes);

/* Gives the contents back, keeps the addresses: the pages read as zero and are untouched. False:
 * refused (locked pages), contents unknown. */
bool prim_purge(void *start, size_t bytes);

/* Moves the pages of [from, from + bytes) to `to`, replacing what is there; `from` stays mapped
 * and reads as zero. False: nothing was changed. */
bool prim_move_pages(void *from, void *to, size_t bytes);

/* Grows or shrinks a mapping where it is. False: no room there, nothing was changed. */
bool prim_resize(void *start, size_t old_bytes, size_t new_bytes);

/* Writes to stderr, as much as can be written. */
void prim_complain(const char *text, size_t bytes);

/* Seconds of a clock that never goes back. */
uint64_t prim_seconds(void);

/* The calling thread's id. */
int prim_tid(void);

/* Calls that would end the process (seccomp.c), as bits: they are not made, and count as failed. */
enum prim_call { PRIM_MADVISE, PRIM_MREMAP, PRIM_GETTID, PRIM_CLOCK };
extern uint32_t prim_forbidden;

/*
 * A lock: spins a little, then sleeps. Not recursive. A process copied while it is held must call
 * prim_lock_reset() in the child.
 */
struct prim_lock {
	uint32_t word; /* 0 free, 1 taken, 2 taken and somebody may sleep */
};

void prim_lock_wait(struct prim_lock *lock);
void prim_lock_wake(struct prim_lock *lock);
void prim_relax(unsigned round);

static inline void prim_lock(struct prim_lock *lock)
{
	uint32_t expect = 0;

	if (unlikely(!__atomic_compare_exchange_n(&lock->word, &expect, 1, false, __ATOMIC_ACQUIRE,
						  __ATOMIC_RELAXED)))
		prim_lock_wait(lock);
}

static inline void prim_unlock(struct prim_lock *lock)
{
	if (unlikely(__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2))
		prim_lock_wake(lock);
}

static inline void prim_lock_reset(struct prim_lock *lock)
{
	__atomic_store_n(&lock->word, 0, __ATOMIC_RELAXED);
}

#endif
