/* Steps that no compiled row can say: unwind_slow.c, and what it asks of unwind_<processor>.c. */
#ifndef HEAPTAPE_SHIM_STACK_UNWIND_SLOW_H
#define HEAPTAPE_SHIM_STACK_UNWIND_SLOW_H

#include <stdint.h>

#include "shim/stack/code.h"
#include "shim/stack/eh_frame.h"
#include "shim/stack/unwind_step.h"

/* Registers of one frame by DWARF number; value[EH_RA] is its pc (see struct stack_state). */
struct unwind_regs {
	uint64_t known; /* bit per register */
	uintptr_t value[EH_REGS];
	bool interrupted; /* by a signal: pc is that place plus 1 */
	bool by_fp;	  /* found by its callee's frame pointer: its sp may be lower than it was */
};

/*
 * The step for a row that is not of the compiled form, or is missing. Returns STACK_CUT_NONE with
 * *ret_next, whose pc is 0 when `from` was the outermost frame; or why the stack ends here. Unless
 * it followed a frame pointer, pc_at is ht_stack_never, and pc may be where a signal came.
 * *code and *latest go from one such step of a walk to the next: a signal's frame holds all registers of the
 * frame it interrupted, also those that calls do not preserve. It begins with `known` 0.
 */
int ht_stack_step_slow(const struct stack_state *from, uint64_t row,
		       const struct stack_range *range, struct code_view *code,
		       struct unwind_regs *latest, struct stack_state *ret_next);

/* The registers that calls preserve, as they are in the caller of this function. */
void ht_unwind_own_regs(struct unwind_regs *ret);

/*
 * A frame that was interrupted at its return: at the instruction itself, or right before it where a
 * realigned frame takes its stack pointer back. Compilers' rows are not always right there about the
 * registers that were restored just before. False: it was interrupted elsewhere.
 */
bool ht_unwind_returning(const struct unwind_regs *regs, const struct stack_range *range,
			 struct code_view *code, struct unwind_regs *ret);

/* The code at pc is what the kernel lets signal handlers return to. */
bool ht_unwind_is_restorer(struct code_view *code, uintptr_t pc);

/*
 * A frame in code that has no unwind row: a signal's return trampoline, the dynamic linker's entry,
 * a frame that was interrupted where its instructions say what is on the stack, or one that keeps a
 * frame pointer, as its code proves (*ret_record: where its caller's frame pointer and its return
 * address lie, else NULL).
 * 0 with the caller (value[EH_RA] 0: there is none), -ENOENT: none of these.
 */
int ht_unwind_without_row(const struct unwind_regs *regs, const struct stack_range *range,
			  struct code_view *code, struct unwind_regs *ret,
			  const uintptr_t **ret_record);

#endif
