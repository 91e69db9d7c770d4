/* What unwind_slow.c asks of unwind_<processor>.c. */
#ifndef HEAPTAPE_SHIM_UNWIND_SLOW_H
#define HEAPTAPE_SHIM_UNWIND_SLOW_H

#include <stdint.h>

#include "shim/eh_frame.h"
#include "shim/unwind.h"

/* Registers of one frame by DWARF number; value[EH_RA] is its pc (see struct stack_state). */
struct unwind_regs {
	uint64_t known; /* bit per register */
	uintptr_t value[EH_REGS];
};

/* The registers that calls preserve, as they are in the caller of this function. */
void ht_unwind_own_regs(struct unwind_regs *ret);

/*
 * A frame in code that has no unwind row: a signal's return trampoline, the dynamic linker's entry,
 * or a frame of code made at run time that by all signs keeps a frame pointer (*ret_record: where
 * its caller's frame pointer and its return address lie, else NULL).
 * 0 with the caller (value[EH_RA] 0: there is none), -ENOENT: none of these.
 */
int ht_unwind_without_row(const struct unwind_regs *regs, const struct stack_range *range,
			  struct unwind_regs *ret, const uintptr_t **ret_record);

#endif
