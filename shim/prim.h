/*
 * The one file that asks the operating system for memory. Raw system calls: errno is left alone and
 * nothing the program put in libc's place is reached. Page events are recorded by the callers.
 */
#ifndef HEAPTAPE_SHIM_PRIM_H
#define HEAPTAPE_SHIM_PRIM_H

#include "shim/common.h"

/* The break now; 0: we may not ask. */
uintptr_t prim_break(void);

/* Asks for the break to be `want`; returns what it is afterwards (`want`, or unchanged). Pages
 * added are zero and untouched; pages removed are gone with their contents. */
uintptr_t prim_break_set(uintptr_t want);

/* Private zero pages anywhere, page aligned, untouched. NULL: no memory or address space. */
void *prim_map(size_t bytes);

/* Zero pages that can be written to, in the place of reserved ones. False: no memory. */
bool prim_make_writable(void *start, size_t bytes);

/* Zero pages in the place of what the program mapped there, or (`gone`) of what it unmapped, provided
 * that nothing is there by now. False: not done. */
bool prim_map_at(void *start, size_t bytes, bool gone);

/* Undoes what the program may have done to its access to whole pages. False: refused. */
bool prim_open(void *start, size_t bytes);

/* Has the unwinder told before pages go, whose it may remember: see ht_stack_unmapped(). */
void prim_on_unmap(void (*tell)(uintptr_t start, size_t bytes));

/* Removes whole pages of a mapping. False: refused (the kernel's limit on mappings); the pages are
 * still there. */
bool prim_unmap(void *start, size_t bytes);

/* Gives the contents back, keeps the addresses: the pages read as zero and are untouched. False:
 * refused (locked pages), contents unknown. */
bool prim_purge(void *start, size_t bytes);

/* Says of each of some whole pages whether it is in memory. False: cannot be told. */
bool prim_resident(uintptr_t start, size_t pages, unsigned char *ret_resident);

/* Addresses that nobody else gets, with nothing to read or write there. NULL: none left. */
void *prim_reserve(size_t bytes);

/* Moves the pages of [from, from + bytes) to `to`, replacing what is there; `from` stays mapped
 * and reads as zero. False: nothing was changed. */
bool prim_move_out(void *from, void *to, size_t bytes);

/* Moves a mapping to `to`, replacing what is there, and makes it to_bytes long. False: it stayed where
 * it was; what was at `to` may be gone. */
bool prim_move(void *from, size_t bytes, void *to, size_t to_bytes);

/* Grows or shrinks a mapping where it is. False: no room there, nothing was changed. */
bool prim_resize(void *start, size_t old_bytes, size_t new_bytes);

/* Writes to stderr, as much as can be written. */
void prim_complain(const char *text, size_t bytes);

/* Seconds of a clock that never goes back. */
uint64_t prim_seconds(void);

/* The calling thread's id. */
int prim_tid(void);

/* Calls that would end the process (seccomp.c), as bits: they are not made, and count as failed. */
enum prim_call {
	PRIM_MADVISE,
	PRIM_MREMAP,
	PRIM_GETTID,
	PRIM_CLOCK,
	PRIM_OPEN,    /* a file, also of /proc, and reading it */
	PRIM_PEEK,    /* process_vm_readv */
	PRIM_PATH,    /* readlinkat, newfstatat, getcwd */
	PRIM_SIGNAL,  /* tgkill */
	PRIM_HANDLER, /* rt_sigaction */
	PRIM_BARRIER, /* prctl and membarrier */
	PRIM_PROTECT, /* mprotect */
	PRIM_MINCORE,
	PRIM_WRITE, /* to stderr */
	PRIM_MOVE,  /* a descriptor by fcntl */
	PRIM_START  /* what recording calls at its begin */
};
extern uint32_t prim_forbidden;

static inline bool prim_may(enum prim_call call)
{
	return likely(!(prim_forbidden >> call & 1));
}

/* From now on the calling thread makes no system call here but write: every other counts as failed, so
 * there is no memory but what the allocator holds. */
void prim_confine(bool on);

/*
 * A lock: spins a little, then sleeps. Not recursive. A process copied while it is held must call
 * prim_lock_reset() in the child.
 */
struct prim_lock {
	uint32_t word; /* 0 free, 1 taken, 2 taken and somebody may sleep */
};

void prim_lock_wait(struct prim_lock *lock);
bool prim_lock_wait_for(struct prim_lock *lock, unsigned milliseconds);
void prim_lock_wake(struct prim_lock *lock);
void prim_relax(unsigned round);

/* Sleeps until somebody changes the word and wakes us, at most so long. False: that long. */
bool prim_sleep_on(uint32_t *word, uint32_t seen, unsigned milliseconds);
void prim_wake_all(uint32_t *word);

/* A word of 1 on a page that is empty in a copy of the process, whoever made it and however. NULL: the
 * kernel does not offer this. */
uint32_t *prim_copy_mark(void);

static inline bool prim_try_lock(struct prim_lock *lock)
{
	uint32_t expect = 0;

	return __atomic_compare_exchange_n(&lock->word, &expect, 1, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static inline void prim_lock(struct prim_lock *lock)
{
	if (unlikely(!prim_try_lock(lock)))
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
