/*
 * The program's code, as the unwinder reads it where there is no unwind data: by system call, for it
 * may be gone, and in blocks, for one look leads to the next. Blocks of what nobody writes to, a
 * file's code, are kept for all captures until it is unmapped; others, code made at run time, for one.
 */
#ifndef HEAPTAPE_SHIM_STACK_CODE_H
#define HEAPTAPE_SHIM_STACK_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CODE_BLOCK_BYTES 256 /* and so aligned: never in two pages */
#define CODE_BLOCKS 3

struct code_block {
	uintptr_t start; /* CODE_NOWHERE: nothing yet */
	size_t bytes;	 /* that are readable */
	uint64_t words[CODE_BLOCK_BYTES / sizeof(uint64_t)];
};

#define CODE_NOWHERE 1

/* What one capture has read. */
struct code_view {
	unsigned turn;
	struct code_block blocks[CODE_BLOCKS];
};

static inline void code_view_begin(struct code_view *view)
{
	view->turn = 0;
	for (unsigned i = 0; i < CODE_BLOCKS; i++)
		view->blocks[i].start = CODE_NOWHERE;
}

/* Copies what is readable of `bytes` at the address, at most CODE_BLOCK_BYTES; returns how much. Any
 * thread, signal handlers too. view: NULL, the address is looked at once. */
size_t ht_code_read(struct code_view *view, uintptr_t address, void *to, size_t bytes);

/* True when the address lies in executable memory. A system call the first time. */
bool ht_code_is(uintptr_t address);

/* What lies in [start, end) is about to change, or is something new. */
void ht_code_forget(uintptr_t start, uintptr_t end);

#endif
