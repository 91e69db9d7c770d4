/*
 * What the unwinder asks the system: the bounds of the mapping a stack lies in, words from places that may
 * not be readable, and memory; and how all that captures remember is forgotten when mappings change.
 */
#ifndef HEAPTAPE_SHIM_STACK_RANGE_H
#define HEAPTAPE_SHIM_STACK_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/common.h"

/*
 * Changes whenever something that captures remember may have become wrong: each thread forgets its
 * last capture and its stack's bounds when it sees a new value. The low 8 bits count the objects
 * that are being unmapped right now; until they are 0 again no remembered row is trusted either.
 */
extern uint32_t ht_stack_version HT_HIDDEN;

#define STACK_VERSION_UNLOADS 0xffu
#define STACK_VERSION_STEP 0x100u

static inline void ht_stack_forget(void)
{
	__atomic_fetch_add(&ht_stack_version, STACK_VERSION_STEP, __ATOMIC_ACQ_REL);
}

/*
 * These bytes are about to be unmapped, or given back to the system, by the program or by the
 * allocator. Must be told for every munmap, mremap and lowered break, before it happens: a
 * coroutine's stack may be among them. A few nanoseconds when none is.
 */
void ht_stack_unmapped(uintptr_t start, size_t bytes);

/* The mapping a stack lies in; `end` is at most the thread's control block. */
struct stack_range {
	uintptr_t start, end;
};

/* Finds the readable mapping around an address: a few system calls. */
bool ht_stack_range_find(uintptr_t address, struct stack_range *ret);

/* From anywhere, by system call: how much is readable; at most a page. */
size_t ht_stack_read(uintptr_t address, void *to, size_t bytes);

/* One word in the same way: false when it is not readable. */
bool ht_stack_peek(uintptr_t address, uintptr_t *ret);

/* Finds the executable mapping around an address. ret_constant: it is a file's, and not written to. */
bool ht_code_range_find(uintptr_t address, struct stack_range *ret, bool *ret_constant);

/* Zeroed memory of our own, NULL when there is none. */
void *ht_stack_pages(size_t bytes);

/*
 * The same for a table that all captures search: the large ones lie together on huge pages, because
 * in the middle of somebody else's work it is address translation that costs most. Never freed.
 */
void *ht_stack_table_pages(size_t bytes);
void ht_stack_pages_free(void *pages, size_t bytes);

#endif
