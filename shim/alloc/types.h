/*
 * Glossary of the allocator. Words used everywhere:
 *
 *   page         one page of the operating system, PAGE_BYTES
 *   run          neighbouring pages that are handled as one
 *   span         a run with one purpose: free, blocks of one size class, or one large block
 *   block        what malloc returns
 *   size class   blocks of one size share spans; class 0 is "large, a span of its own"
 *   heap         the spans one thread allocates from
 *   owner        the heap whose thread may touch a span's free list
 *   remote free  a free by a thread that is not the owner's: pushed on the span's remote list
 *   frozen       nobody allocates from the span and `frozen_used` is exact until it is thawed, so
 *                the remote free that completes the count may give the span back
 *   husk         a span struct whose pages were given back by a remote free while its owner still
 *                has it in a list
 *   taken        its thread is in the middle of changing the heap; a signal handler that finds it so
 *                allocates from the heap's inner one, and frees as another thread would
 *
 * Invariants (checked by ht_check_span, ht_check_heap and ht_check_page_heap in shim/alloc/check.c):
 *
 *   used + length(free) == carved                    of a span with an owner; blocks on the remote
 *                                                    list still count as used. A handler that jumps
 *                                                    out of a call may leave `used` one too high
 *   remote count == length(remote list) <= used
 *   carved <= capacity, capacity == pages * PAGE_BYTES / block_bytes
 *   trigger is 0 or TRIGGER_NEVER in a partial list; in a full list it is below capacity
 *   page_map[p] == span (or its stand-in: altered.h) for every page p of a span in use, for the first and last page of a free
 *   run, and NULL for the other pages of a free run
 *   no two free runs are neighbours; dirty_from <= zero_from <= pages
 *   sum of pages over all spans == page_heap.system_pages
 */
#ifndef HEAPTAPE_SHIM_ALLOC_TYPES_H
#define HEAPTAPE_SHIM_ALLOC_TYPES_H

#include "shim/common.h"

/* More than there are addresses. */
#define ADDRESS_MOST ((size_t)1 << 47)

#define BLOCK_ALIGN 16

/* Pages of the first sbrk. */
#define HEAP_FIRST_PAGES 32

enum span_state {
	SPAN_FREE,    /* a free run in the page heap */
	SPAN_SMALL,   /* blocks of one size class */
	SPAN_LARGE,   /* one block, pages of the page heap */
	SPAN_HUGE,    /* one block, a mapping of its own */
	SPAN_META,    /* the struct block_meta of a span's blocks */
	SPAN_HUSK,    /* no pages any more; only its list links mean something */
	SPAN_STAND_IN /* in the page map for span `next`: altered.h */
};

struct heap;
struct altered;

/* A free block: the list's link, and a mark by which a second free is suspected. */
struct free_block {
	struct free_block *next;
	uintptr_t mark;
};

/*
 * remote word of a span: count of blocks in the top 16 bits, then the address of the first block,
 * flags in its low four bits.
 */
#define REMOTE_FROZEN 1u  /* see "frozen" above */
#define REMOTE_CLAIMED 2u /* a remote free is giving the pages back right now */
#define REMOTE_DEAD 4u	  /* it has; the span is a husk */
#define REMOTE_FLAGS 15u
#define REMOTE_COUNT_SHIFT 48
#define REMOTE_ONE ((uint64_t)1 << REMOTE_COUNT_SHIFT)
#define REMOTE_ADDRESS (REMOTE_ONE - 1 - REMOTE_FLAGS)

/* What the allocator's user keeps beside each block (shim/record/record.h says what). All zero in a new
 * one; `ticks` 0 means: nothing. */
struct block_meta {
	uint64_t ticks;
	uint64_t site;
};

struct span {
	/* One cache line: what malloc and free of the owner touch. */
	struct free_block *free;
	uintptr_t start;
	uint64_t reciprocal; /* 2^64 / block_bytes, rounded up */
	struct heap
		*fast_owner; /* owner, or NULL when free must look closer: large, or with meta */
	struct heap *owner;  /* NULL: none (large, abandoned) */
	struct block_meta
		*meta; /* one for each block, or NULL: nothing in here was ever recorded */
	uint32_t used;
	uint32_t trigger;  /* free calls the slow path when `used` comes down to this */
	uint32_t capacity; /* blocks */
	uint8_t class;
	uint8_t state; /* enum span_state */
	bool listed_full;
	bool emptied; /* a large block whose pages were moved elsewhere: they read as zero */

	/* What other threads write. */
	uint64_t remote __attribute__((aligned(64)));

	/* Slow paths only. */
	uint32_t frozen_used;
	uint32_t carved; /* blocks ever put on the free list; the rest is untouched */
	size_t pages;
	size_t zero_from;  /* pages from here on were never written and read as zero */
	size_t dirty_from; /* of a free run: so do those before this one */
	size_t block_bytes;
	size_t requested_bytes; /* of a large block */
	struct span *next;	/* in a heap's list, the page heap's bin, or the free structs */
	struct span *prev;
	uint64_t own_meta[2];	 /* a large block's struct block_meta */
	struct span *meta_span;	 /* the pages `meta` points to; NULL for a large block */
	bool from_break;	 /* pages lie in the break's heap */
	struct altered *altered; /* what the program did to its pages, or NULL */
	bool alone;		 /* not in the page heap's books: emergency.h */
};

/* A wholly free span is kept while it is the first of its list. */
#define TRIGGER_NEVER UINT32_MAX

#define CLASS_COUNT 72 /* size classes are numbered 1 .. CLASS_COUNT */
#define SMALL_MAX_BYTES ((size_t)32768)
#define DIRECT_MAX_BYTES ((size_t)1024)
#define DIRECT_COUNT (DIRECT_MAX_BYTES / BLOCK_ALIGN + 1)

/* A heap's spans of one class: those to allocate from, and the full ones, oldest first. */
struct span_list {
	struct span *first;
	struct span *last;
};

struct class_spans {
	struct span_list partial;
	struct span_list full;
	uint32_t spans;	   /* in both lists */
	uint32_t given_up; /* so often the only partial one was empty and given back */
};

struct heap {
	/* 0, or the stack pointer of the call that changes the heap; HEAP_REARRANGED: not only one
	 * span's free list. */
	uintptr_t taken;
	/* The span malloc takes from, by (size + 15) / 16; never NULL. */
	struct span *direct[DIRECT_COUNT];
	struct span *current[CLASS_COUNT + 1]; /* the same by class; never NULL */
	struct class_spans classes[CLASS_COUNT + 1];
	struct heap *inner; /* for handlers that interrupt what is done to this one, or NULL */
	struct heap *outer; /* NULL: the thread's own */
	struct heap *next;  /* of the unused ones */
};

#define HEAP_REARRANGED ((uintptr_t)1)

/* The calling thread's heap; ht_heap_none, which always looks taken, when it has none (yet, or any
 * more). */
extern __thread struct heap *ht_heap __attribute__((tls_model("initial-exec")));
extern struct heap ht_heap_none;
extern struct span ht_span_none;

#endif
