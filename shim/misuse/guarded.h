/*
 * --guard (HEAPTAPE_GUARD=1): every block has a guard behind it, from the last byte that was asked
 * for to the end of what the allocator gave, GUARD_LEAST_BYTES at least. It is looked at when the
 * block is freed or reallocated, and of live blocks when the process exits. A small block that is
 * free is filled with a pattern and stays in quarantine for some thousand frees (fewer of larger
 * blocks); the pattern is looked at after that, when the block is handed out again, and at exit. Of
 * the large blocks freed last the pages are given back and the addresses kept: what is in memory there
 * later was written.
 *
 * Decided once, at the start; blocks older than that have no guard. It works with and without a
 * recording: malloc and its family come here by way of traced.c, whether they record or not
 * (ht_traced() in record.h). Whether a block has a guard is a bit in its record (struct block_meta);
 * a block for whose record there is no memory has none.
 */
#ifndef HEAPTAPE_SHIM_MISUSE_GUARDED_H
#define HEAPTAPE_SHIM_MISUSE_GUARDED_H

#include "shim/alloc/types.h"
#include "shim/control.h"

/* ht_guard_on (shim/control.h): whether it is so. */

/* From now on. The calling thread is the only one. */
void ht_guard_start(void);

/* malloc (alignment 0), memalign and calloc; NULL: no memory, which is not recorded. errno is left
 * alone. */
void *ht_guarded_take(unsigned kind, size_t alignment, size_t size_bytes, uint32_t stack);

void ht_guarded_free(void *block, uint32_t stack);

/* NULL: no memory, misuse, or size_bytes is 0. *ret_refused: errno is to be ENOMEM. */
void *ht_guarded_realloc(void *old, size_t size_bytes, uint32_t stack, bool *ret_refused);

/* What malloc_usable_size says of a live block: what was asked for. */
size_t ht_guarded_size(struct span *span, void *block);

/* Looks at every block; for the end of the process. */
void ht_guard_check_all(void);

#endif
