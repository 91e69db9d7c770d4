/*
 * Call stacks. A capture names the calling thread's stack by a node of the tree that
 * shim/stack/stack_table.h keeps. On this path there is no lock, no allocation, no system call when the
 * caches are warm, and errno is untouched; every load from the program's stack lies inside the
 * mapping the thread is running on.
 *
 * A frame's state is (pc, sp, fp): the return address into it, its stack pointer at that place and
 * its frame pointer register. The compiled row for pc (shim/stack/eh_frame.h) names the stack slots from
 * which the next state follows, and nothing else has a say in it. Hence the rule of re-use: where
 * a state equals one of the thread's last capture, and every slot read from there outwards holds
 * what it held then, the stack from there outwards is the same. fp takes part only where a frame
 * further out hangs on it (its CFA is fp + offset); elsewhere it is just data.
 *
 * unwind.c walks and re-uses; unwind_x86_64.c and unwind_aarch64.c take one step;
 * unwind_slow.c takes the steps that no compiled row can say.
 */
#ifndef HEAPTAPE_SHIM_STACK_UNWIND_H
#define HEAPTAPE_SHIM_STACK_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The node of the calling thread's stack, 0 when there is none (no table, or it is full). pc: return address in the program of the call that is recorded; sp: the
 * caller's stack pointer after it returns; fp: the caller's frame pointer register.
 */
uint32_t ht_stack_capture(uintptr_t pc, uintptr_t sp, uintptr_t fp);

/*
 * The same for the caller of the function this stands in, which must be a real function (noinline)
 * that the program's call reached by jumps alone: the compiler gives it a frame pointer.
 */
#define HT_STACK_OF_CALLER()                                                         \
	ht_stack_capture((uintptr_t)__builtin_return_address(0),                     \
			 (uintptr_t)__builtin_frame_address(0) + 2 * sizeof(void *), \
			 *(uintptr_t *)__builtin_frame_address(0))

/* The calling thread ends: gives its memory back. A later capture starts anew. */
void ht_stack_thread_end(void);

/* Frames in [start, end), the shim's own code, are left out at the inner end. */
void ht_stack_own_code(uintptr_t start, uintptr_t end);

#endif
