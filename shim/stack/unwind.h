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

/* Frames a stack can have; HEAPTAPE_DEPTH lowers it. Interpreters and compilers go deep: python3's
 * own tests need 2,007, C++ templates some 400, and every stack that is cut makes nodes anew for
 * all its frames, because none of them hangs where it hung before. */
#define STACK_DEPTH_MAX 4096

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

/*
 * These bytes are about to be unmapped, or given back to the system, by the program or by the
 * allocator. Must be told for every munmap, mremap and lowered break, before it happens: a
 * coroutine's stack may be among them. A few nanoseconds when none is.
 */
void ht_stack_unmapped(uintptr_t start, size_t bytes);

/* -- between the files of the unwinder -- */

/*
 * Changes whenever something that captures remember may have become wrong: each thread forgets its
 * last capture and its stack's bounds when it sees a new value. The low 8 bits count the objects
 * that are being unmapped right now; until they are 0 again no remembered row is trusted either.
 */
extern uint32_t ht_stack_version;

#define STACK_VERSION_UNLOADS 0xffu
#define STACK_VERSION_STEP 0x100u

static inline void ht_stack_forget(void)
{
	__atomic_fetch_add(&ht_stack_version, STACK_VERSION_STEP, __ATOMIC_ACQ_REL);
}

/* Frames in [start, end), the shim's own code, are left out at the inner end. */
void ht_stack_own_code(uintptr_t start, uintptr_t end);

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

/*
 * One frame's state, and the stack slots its parts were loaded from by the step that led here
 * (what has to be checked before that step is re-used).
 */
struct stack_state {
	uintptr_t pc; /* return address; the place itself plus 1 in a frame a signal interrupted */
	uintptr_t sp;
	uintptr_t fp;
	const uintptr_t *pc_at;
	const uintptr_t *fp_at;	 /* NULL: fp was not loaded */
	const uintptr_t *cfa_at; /* NULL: sp was computed, not loaded */
};

/* Never equals a return address: a step with this pc_at is never re-used. */
extern const uintptr_t ht_stack_never;

enum stack_step {
	STEP_DONE, /* *next is the caller */
	STEP_END,  /* this was the outermost frame */
	STEP_ODD,  /* needs the slow path */
	STEP_BAD,  /* the CFA makes no sense */
};

/*
 * The step for a row that is not of the compiled form, or is missing. Returns STACK_CUT_NONE with
 * *ret_next, whose pc is 0 when `from` was the outermost frame; or why the stack ends here. Unless
 * it followed a frame pointer, pc_at is ht_stack_never, and pc may be where a signal came.
 * *code and *latest go from one such step of a walk to the next: a signal's frame holds all registers of the
 * frame it interrupted, also those that calls do not preserve. It begins with `known` 0.
 */
struct unwind_regs;
struct code_view;
int ht_stack_step_slow(const struct stack_state *from, uint64_t row,
		       const struct stack_range *range, struct code_view *code,
		       struct unwind_regs *latest, struct stack_state *ret_next);

#endif
