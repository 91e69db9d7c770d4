/*
 * Code without unwind data that keeps a frame pointer: does this frame? Nothing on the stack can
 * say so for certain, because return addresses of calls long over lie about everywhere. So the
 * code is asked: it is followed from where the frame goes on to where it is left, and that must
 * take the caller's frame pointer and the return address from where the frame pointer points.
 */
#ifndef HEAPTAPE_SHIM_STACK_UNWIND_PROOF_H
#define HEAPTAPE_SHIM_STACK_UNWIND_PROOF_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/stack/code.h"

/*
 * pc: the instruction that is executed next in the frame; sp and fp: the registers there, fp at or
 * above sp, both in the stack. sp_exact: not lower than it will be; else the function that was
 * called may take arguments off the stack.
 */
bool ht_frame_keeps_fp(struct code_view *code, uintptr_t pc, uintptr_t sp, bool sp_exact,
		       uintptr_t fp);

/* Whether calls return to `address`, which lies in executable memory. */
bool ht_is_return_address(struct code_view *code, uintptr_t address);

#endif
