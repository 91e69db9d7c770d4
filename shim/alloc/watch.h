/*
 * What the allocator tells whoever uses it: functions that it calls and its user defines. The shim's
 * recorder (shim/record/record.c) and its reports of misuse (shim/misuse/misuse.c) do.
 */
#ifndef HEAPTAPE_SHIM_ALLOC_WATCH_H
#define HEAPTAPE_SHIM_ALLOC_WATCH_H

#include "proto/event.h"
#include "shim/alloc/types.h"

/*
 * The allocator's pages change (sbrk brk mmap munmap mremap madvise span unspan), `details` as
 * proto/event.h lists them for the kind. kind may carry EVENT_BY_ALLOCATOR; then the page heap's lock may
 * be held. Called while ht_recording(); errno must stay.
 */
void ht_watch_pages(unsigned kind, uintptr_t address, const uint64_t *details);

/*
 * `p` is not the start of a live block, to all appearances; `what` is the function that was given it. The
 * span of the block after all (a stand-in's, shim/alloc/altered.h); NULL: it was reported, or belongs to
 * another allocator and was freed there, and the call is to do nothing.
 */
struct span *ht_block_checked(void *p, const char *what);

/* A block is freed whose pages the allocator cannot have again (shim/alloc/altered.h): it counts as freed. */
void ht_watch_lost(struct span *span, void *block);

/* A free list of the span's is not one any more: a freed block was written to. */
void ht_list_broken(struct span *span);

#endif
