/*
 * The page heap: runs of pages from the system, handed out as spans and taken back.
 *
 * Free runs are kept in bins by length (exact up to 32 pages, then four bins a doubling); a request
 * takes the low end of the shortest run that fits, so pages that were touched before are used before
 * fresh ones: on most machines the first touch of a page costs more than everything else an
 * allocator does. Neighbouring free runs are joined through the page map.
 *
 * Pages come from the break first (HEAP_FIRST_PAGES, then growing steps), from mmap as soon as the
 * program has moved the break itself. They go back by decay on bytes: whenever the traffic of freed
 * pages has come to an epoch's worth, what stayed free and touched for the whole epoch is given
 * back.
 *
 * Everything here that says "locked" wants ht_page_heap.lock held.
 *
 * Nobody waits for a fork. While a thread is in fork, from our handler before it to our handler after
 * it, the page heap is closed to all other threads: nothing of it is half done when the process is
 * copied. But fork waits for locks that are not ours (of other handlers, of every stream), whose
 * holders may be waiting for memory. So another thread gives it a moment, then does without, as a
 * signal handler does that interrupted its own thread here. No lock of ours is held across fork.
 */
#ifndef HEAPTAPE_SHIM_ALLOC_PAGE_HEAP_H
#define HEAPTAPE_SHIM_ALLOC_PAGE_HEAP_H

#include "shim/alloc/types.h"
#include "shim/prim.h"

#define PAGE_BIN_EXACT 32
#define PAGE_BIN_COUNT 128

struct page_heap {
	struct prim_lock lock;
	uint32_t
		forks; /* threads in fork; changed with the lock held, but for the last one's end */
	bool forks_are_slow; /* somebody waited in vain for them */
	uint64_t bins_used[PAGE_BIN_COUNT / 64];
	struct span *bins[PAGE_BIN_COUNT];

	uintptr_t break_start; /* our part of the break's heap: [break_start, break_end) */
	uintptr_t break_end;
	bool break_foreign; /* the program moved the break: it is not ours to move any more */

	size_t system_pages; /* from the system now, in use and free */
	size_t alone_pages; /* those of shim/alloc/emergency.h: not among them, changed without the lock */
	size_t free_pages;	 /* in the bins */
	size_t free_dirty_pages; /* of those, touched */
	size_t huge_bytes;	 /* of blocks with a mapping of their own */
	size_t huge_blocks;	 /* so many */
	size_t most_huge_bytes;	 /* the most there ever were */
	size_t most_huge_blocks;
	size_t most_pages;     /* the most system_pages ever was */
	size_t most_run_pages; /* the same without huge blocks */

	size_t epoch_pages;	/* pages freed since the epoch began */
	size_t epoch_low;	/* the least free_dirty_pages in the epoch */
	size_t given_pages;	/* given back of late */
	size_t retouched_pages; /* untouched pages handed out since */
	uint64_t eager_s;	/* when many of those were found to be the same; prim_seconds() */
	uint64_t epoch_began_s; /* prim_seconds() then */
	unsigned patience;	/* epochs are this many times doubled */

	struct span *span_structs; /* unused ones */
	char *record_next;	   /* rest of the block that structs are cut from */
	size_t record_left;
	size_t record_bytes; /* all such blocks */

	struct span_list huge;			     /* blocks with a mapping of their own */
	struct span_list abandoned[CLASS_COUNT + 1]; /* spans of threads that ended */
	uint32_t abandoned_count[CLASS_COUNT + 1];
};

extern struct page_heap ht_page_heap;

/* This thread has the lock, or is about to. Who finds this true before taking it is a signal handler
 * that interrupted its own thread here. */
extern __thread bool ht_page_heap_held __attribute__((tls_model("initial-exec")));

bool ht_page_heap_lock_slow(bool taken);

/* False: the page heap is closed to the caller, which must do without. */
static inline __attribute__((warn_unused_result)) bool ht_page_heap_lock(void)
{
	bool taken;

	if (unlikely(ht_page_heap_held))
		return false;
	ht_page_heap_held = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	taken = prim_try_lock(&ht_page_heap.lock);
	if (likely(taken && !ht_page_heap.forks))
		return true;
	return ht_page_heap_lock_slow(taken);
}

/* The same for what cannot be done later: waits for forks for some seconds. */
bool ht_page_heap_lock_patiently(void);

/* All that the allocator has from the system. */
static inline uint64_t ht_page_heap_bytes(void)
{
	return (ht_page_heap.system_pages +
		__atomic_load_n(&ht_page_heap.alone_pages, __ATOMIC_RELAXED)) *
	       PAGE_BYTES;
}

static inline void ht_page_heap_unlock(void)
{
	prim_unlock(&ht_page_heap.lock);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	ht_page_heap_held = false;
}

/*
 * A run of `pages` pages whose start is a multiple of `align_pages`, as a span with start, pages,
 * zero_from and from_break set, entered in the page map, everything else zero. NULL: no memory, or
 * (may_grow false) none without asking the system.
 */
struct span *ht_pages_take_locked(size_t pages, size_t align_pages, bool may_grow);

/* Takes back a span of ht_pages_take_locked. zero_from must say what is still untouched. The struct
 * is gone afterwards, unless keep_husk: then a struct of its own goes on in the bins. */
void ht_pages_give_locked(struct span *span, bool keep_husk);

/* Makes a span longer by pages of the free run behind it; false: there is none, or too short. */
bool ht_pages_extend_locked(struct span *span, size_t pages);

/* Makes a span shorter, its last pages become a free run. */
void ht_pages_shrink_locked(struct span *span, size_t pages);

/* Gives back every touched free page but about keep_pages. Returns the pages given back. */
size_t ht_pages_purge_locked(size_t keep_pages);

/* A span struct, zeroed, and its end. NULL: no memory. */
struct span *ht_span_struct_locked(void);
void ht_span_struct_free_locked(struct span *span);

/* Memory for the allocator's own records, zeroed, never given back. */
void *ht_records_locked(size_t bytes);

/* Counts pages that came from the system. */
void ht_pages_count_locked(size_t pages);

/*
 * The system refused pages. Free runs, touched or not, count against its limits: those that can be
 * given back are. True: some were, so it is worth asking again.
 */
bool ht_pages_make_room_locked(void);

/*
 * The program's own sbrk(increment) (absolute false) or brk(value) (absolute true). Moves the break
 * and from then on the allocator leaves it alone. A break within the allocator's own pages is refused.
 * Returns 0 or -ENOMEM; both breaks are set.
 */
int ht_break_by_program(intptr_t value, bool absolute, uintptr_t *ret_old, uintptr_t *ret_new);

/* Lists by next and prev. */
static inline void span_list_add_first(struct span_list *list, struct span *span)
{
	span->prev = NULL;
	span->next = list->first;
	if (list->first)
		list->first->prev = span;
	else
		list->last = span;
	list->first = span;
}

static inline void span_list_add_last(struct span_list *list, struct span *span)
{
	span->next = NULL;
	span->prev = list->last;
	if (list->last)
		list->last->next = span;
	else
		list->first = span;
	list->last = span;
}

static inline void span_list_remove(struct span_list *list, struct span *span)
{
	if (span->prev)
		span->prev->next = span->next;
	else
		list->first = span->next;
	if (span->next)
		span->next->prev = span->prev;
	else
		list->last = span->prev;
	span->next = NULL;
	span->prev = NULL;
}

#endif
