/*
 * One step of the walk by a compiled row, in line because it is the walk's inner loop. The files
 * unwind_<processor>.c hold what else depends on the processor.
 */
#ifndef HEAPTAPE_SHIM_STACK_UNWIND_STEP_H
#define HEAPTAPE_SHIM_STACK_UNWIND_STEP_H

#include "shim/stack/eh_frame.h"
#include "shim/stack/range.h"

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

#if defined(__x86_64__)

#define STACK_RED_ZONE 128

static inline bool slot_is_in(uintptr_t slot, uintptr_t low, const struct stack_range *range)
{
	return slot >= low && slot <= range->end - sizeof(uintptr_t) && !(slot & 7);
}

/* True when the frame's own step looks at fp; then a stack is the same only if fp is. */
static inline bool row_uses_fp(uint64_t row)
{
	return (row_kind(row) >= ROW_FP && row_kind(row) <= ROW_MISSING) ||
	       row_fp(row) == ROW_FP_AT_FP;
}

static inline enum stack_step stack_step(uint64_t row, const struct stack_state *from,
					 const struct stack_range *range, struct stack_state *next)
{
	uintptr_t cfa, slot, saved;

	next->cfa_at = NULL;
	if (__builtin_expect(row_kind(row) == ROW_SP, 1)) {
		cfa = from->sp + (uintptr_t)row_cfa_offset(row);
	} else if (row_kind(row) == ROW_FP) {
		cfa = from->fp + (uintptr_t)row_cfa_offset(row);
	} else if (row_kind(row) == ROW_FP_DEREF) {
		slot = from->fp + (uintptr_t)row_cfa_offset(row);
		if (!slot_is_in(slot, from->sp, range))
			return STEP_BAD;
		next->cfa_at = (const uintptr_t *)slot;
		cfa = *next->cfa_at;
	} else {
		return row_kind(row) == ROW_END ? STEP_END : STEP_ODD;
	}
	/* Where fp stays in its register the row's fp_offset is that of the return address: loading
	 * in any case and choosing afterwards is cheaper than a jump that goes either way. */
	slot = (row_fp(row) == ROW_FP_AT_FP ? from->fp : cfa) + (uintptr_t)row_fp_offset(row);
	if (__builtin_expect(cfa <= from->sp || !slot_is_in(cfa - 8, from->sp, range) ||
				     !slot_is_in(slot, from->sp - STACK_RED_ZONE, range),
			     0))
		return STEP_BAD;
	next->pc_at = (const uintptr_t *)(cfa - 8);
	next->pc = *next->pc_at;
	next->sp = cfa;
	saved = *(const uintptr_t *)slot;
	next->fp = row_fp(row) == ROW_FP_SAME ? from->fp : saved;
	next->fp_at = row_fp(row) == ROW_FP_SAME ? NULL : (const uintptr_t *)slot;
	return STEP_DONE;
}

#elif defined(__aarch64__)

/* Frame records only: fp points at { caller's fp, return address }. */
static inline bool row_uses_fp(uint64_t row)
{
	(void)row;
	return true;
}

static inline enum stack_step stack_step(uint64_t row, const struct stack_state *from,
					 const struct stack_range *range, struct stack_state *next)
{
	const uintptr_t *record = (const uintptr_t *)from->fp;

	(void)row;
	if (!from->fp)
		return STEP_END;
	if (from->fp < from->sp || from->fp > range->end - 16 || (from->fp & 15))
		return STEP_BAD;
	next->cfa_at = NULL;
	next->fp_at = record;
	next->pc_at = record + 1;
	next->fp = record[0];
	next->pc = record[1] & 0x0000ffffffffffff; /* without a pointer authentication code */
	next->sp = from->fp + 16;
	return next->pc ? STEP_DONE : STEP_END;
}

#endif
#endif
