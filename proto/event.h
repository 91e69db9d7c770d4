/*
 * The events of a heap's history: one row of EVENT_KINDS per kind. Everything that needs to know
 * what a kind is called, or how many detail words it carries, reads this table.
 *
 * An event on the wire and in the shared buffers is one entry in each of these columns:
 *
 *   kind     u8   enum event_kind, plus EVENT_BY_ALLOCATOR when heaptape's allocator, not the
 *                 program, asked for it
 *   class    u8   size class of the block, 1-based; 0 when the block has none (a large block, or
 *                 an event that is not about a block): its size and usable size are in the details
 *   ticks    u64  when (Hello.clock)
 *   address  u64  the block, or the first byte of the pages
 *   size     u32  requested bytes when class > 0, else 0
 *   stack    u32  node of the call stack, 0 unknown. For free: the stack that *allocated* the block
 *   details  u64 x n   the words named below, in that order
 *
 * Detail words by kind, then, only when class == 0 and the kind is about a block, two more:
 * { size_bytes, usable_bytes }.
 *
 *   malloc calloc memalign       (none).  address 0: the request failed; class is 0.
 *   free                         { allocated_ticks, allocated_by }
 *   realloc                      { old_address, old_allocated_ticks, old_site, old_size_bytes,
 *                                  old_usable_bytes }  old_site = stack << 32 | thread
 *                                In place: old_address == address. realloc(NULL): old_address 0
 *                                and the other old words 0. Stamped before the old block is
 *                                released.
 *   sbrk brk                     { new_break, increment }  address: the break before; increment is
 *                                a signed difference in bytes
 *   mmap                         { length_bytes, protection << 32 | flags }
 *   munmap                       { length_bytes }
 *   mremap                       { length_bytes, old_address, old_length_bytes }
 *   madvise                      { length_bytes, advice }
 *   span                         { length_bytes, block_bytes }  the allocator dedicates pages to
 *                                blocks of one size; block_bytes == length: one large block
 *   unspan                       { length_bytes }  those pages are free again
 *   live                         { allocated_ticks, allocated_by }  the block was live when
 *                                recording was switched on. allocated_ticks 0: it was never recorded
 *                                before; its birth is not known, and its free will name the ticks of
 *                                this event and thread 0
 *   resume                       { held_bytes, turn }  recording was switched on: what was known of
 *                                blocks and pages is void, and what there is follows as span, unspan
 *                                and live events, mixed with what happens meanwhile. held_bytes:
 *                                pages the allocator holds
 *   mark                         { number }  the program names this moment (shim/api/heaptape.h).
 *                                address 0. What it is called came before, in a Mark message
 *
 * allocated_ticks 0: the block was live before recording began (its stack and thread are 0 too).
 * allocated_by: number of the thread that allocated it, 0 unknown.
 *
 * A new kind is a row at the end of EVENT_KINDS and its words above. What else it touches:
 *
 *   WIRE_VERSION (proto/wire.h)     bumped when an old reader would miscount details
 *   where it is recorded            shim/record/record.h, by ht_record_pages_at() or like it
 *   take_event() in daemon/take.c   what it adds to totals; the compiler asks for it (-Wswitch)
 *   viewer/sqlite/pages.c           what it does to pages; the compiler asks for it
 *   tests/tools/invariants.c        what must hold of it; the compiler asks for it
 *   a kind about blocks             must be one of the first 15 (proto/chunk_format.h), and
 *                                   viewer/sqlite/allocations.c says whether a block begins or ends
 *
 * Chunks, the command's and SQL's names of it, and the fuzzers follow from the table.
 */
#ifndef HEAPTAPE_PROTO_EVENT_H
#define HEAPTAPE_PROTO_EVENT_H

#include <stdbool.h>
#include <stdint.h>

/*      NAME       text        details  block */
#define EVENT_KINDS(ROW)                   \
	ROW(MALLOC, "malloc", 0, true)     \
	ROW(CALLOC, "calloc", 0, true)     \
	ROW(REALLOC, "realloc", 5, true)   \
	ROW(MEMALIGN, "memalign", 0, true) \
	ROW(FREE, "free", 2, true)         \
	ROW(SBRK, "sbrk", 2, false)        \
	ROW(BRK, "brk", 2, false)          \
	ROW(MMAP, "mmap", 2, false)        \
	ROW(MUNMAP, "munmap", 1, false)    \
	ROW(MREMAP, "mremap", 3, false)    \
	ROW(MADVISE, "madvise", 2, false)  \
	ROW(SPAN, "span", 2, false)        \
	ROW(UNSPAN, "unspan", 1, false)    \
	ROW(LIVE, "live", 2, true)         \
	ROW(RESUME, "resume", 2, false)    \
	ROW(MARK, "mark", 1, false)

enum event_kind {
	EVENT_NONE, /* no event has kind 0: a zeroed entry is never mistaken for one */
#define ROW(NAME, text, details, block) EVENT_##NAME,
	EVENT_KINDS(ROW)
#undef ROW
};

enum {
#define ROW(NAME, text, details, block) +1
	EVENT_KIND_COUNT = 1 EVENT_KINDS(ROW),
#undef ROW
#define ROW(NAME, text, details, block) | (uint32_t)block << EVENT_##NAME
	EVENT_BLOCK_KINDS = 0u EVENT_KINDS(ROW) /* bit k: kind k is about one block */
#undef ROW
};

#define EVENT_BY_ALLOCATOR 0x80u
#define EVENT_KIND_MASK 0x1fu

/* The most detail words an event can have (realloc of a large block: 5 + 2). */
#define EVENT_MAX_DETAILS 7

static inline enum event_kind event_kind_of(uint8_t kind_byte)
{
	return (enum event_kind)(kind_byte & EVENT_KIND_MASK);
}

/* Detail words of an event with this kind byte and class; -1 when the kind does not exist. */
static inline int event_details(uint8_t kind_byte, uint8_t class)
{
	static const int8_t details[EVENT_KIND_COUNT] = { -1,
#define ROW(NAME, text, details, block) details,
							  EVENT_KINDS(ROW)
#undef ROW
	};
	unsigned kind = event_kind_of(kind_byte);

	if (kind == EVENT_NONE || kind >= EVENT_KIND_COUNT ||
	    (kind_byte & ~(EVENT_KIND_MASK | EVENT_BY_ALLOCATOR)))
		return -1;
	return details[kind] + (class == 0 && EVENT_BLOCK_KINDS >> kind & 1 ? 2 : 0);
}

/* True for events about one block, as the table says. */
static inline bool event_is_block(uint8_t kind_byte)
{
	return EVENT_BLOCK_KINDS >> event_kind_of(kind_byte) & 1;
}

/* The kind's name as SQL and reports show it; "?" when there is none. */
static inline const char *event_kind_name(unsigned kind)
{
	static const char *const names[EVENT_KIND_COUNT] = { "?",
#define ROW(NAME, text, details, block) text,
							     EVENT_KINDS(ROW)
#undef ROW
	};

	return kind < EVENT_KIND_COUNT ? names[kind] : "?";
}

/* Why an unwind stopped before the outermost frame; index into Losses.cut_reasons. */
enum stack_cut {
	STACK_CUT_NONE,
	STACK_CUT_DEPTH,   /* deeper than the depth limit */
	STACK_CUT_NO_ROW,  /* no unwind row for the program counter */
	STACK_CUT_BAD_CFA, /* the next frame is outside the thread's stack, or not above the last */
	STACK_CUT_ODD_RULE, /* an expression the slow path does not know */
	STACK_CUT_TABLE,    /* the stack table is full */
	STACK_CUT_COUNT
};

/* How a program misused its heap: */
#define MISUSE_KINDS(ROW)                                                            \
	ROW(DOUBLE_FREE, "double free")	  /* free of a block that is free already */ \
	ROW(FREED, "freed block")	  /* realloc or malloc_usable_size of one */ \
	ROW(INTERIOR, "interior pointer") /* not to the start of a block */          \
	ROW(FOREIGN, "foreign pointer")	  /* not into a block of this heap */        \
	ROW(OVERFLOW, "overflow")	  /* written beyond the end of a block */    \
	ROW(WRITTEN, "write after free")  /* written to a block that is free */

enum misuse_kind {
	MISUSE_NONE,
#define ROW(NAME, text) MISUSE_##NAME,
	MISUSE_KINDS(ROW)
#undef ROW
		MISUSE_KIND_COUNT
};

/* The kind's name as SQL and reports show it; "?" when there is none. */
static inline const char *misuse_kind_name(unsigned kind)
{
	static const char *const names[MISUSE_KIND_COUNT] = { "?",
#define ROW(NAME, text) text,
							      MISUSE_KINDS(ROW)
#undef ROW
	};

	return kind < MISUSE_KIND_COUNT ? names[kind] : "?";
}

/* How a process ended, as far as is known. Text for processes.ending is in proto/store.c. */
enum process_end {
	PROCESS_RUNNING,
	PROCESS_EXITED,	  /* exit code known */
	PROCESS_SIGNALED, /* killed by a signal */
	PROCESS_EXEC,	  /* went on as another program: the next process row with this pid */
	PROCESS_VANISHED, /* connection closed without a word: killed, or _exit by raw system call */
	PROCESS_CUT	  /* the recording stopped first (daemon killed, disk full, ...) */
};

#endif
