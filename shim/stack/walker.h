/*
 * A thread's last capture lies in its walker, outermost frame first, so that what stays the same
 * stays in place. `slots[i]` says where frame i begins and what the word below that held when the
 * walk came to it: its pc. `further` are the further words that frames need to be the same, in order
 * of their frames.
 */
#ifndef HEAPTAPE_SHIM_STACK_WALKER_H
#define HEAPTAPE_SHIM_STACK_WALKER_H

#include <limits.h>

#include "shim/common.h"
#include "shim/stack/stack_table.h"
#include "shim/stack/unwind_step.h"

#define CHECK_STEP 4
#define QUICK_FRAMES 64

/* Frames that a walker has room for: as most stacks have, then as any may have. A program that locks
 * its memory pays for all that is mapped. */
#define SMALL_FRAMES 256u
#define LARGE_FRAMES STACK_DEPTH_MAX

/* More than that, so that the beginnings of a walker's arrays are not in the same cache sets. */
#define FRAMES_BESIDE 24u

/* A walk that needs a larger walker. */
#define TOO_DEEP UINT_MAX

/* A frame: the return address into it is the word below its stack pointer. */
struct slot {
	uintptr_t sp;
	uintptr_t pc;
};

struct further {
	const uintptr_t *at;
	uintptr_t value;
	uint32_t frame;
};

struct taken {
	struct stack_state state;
	uint64_t row;
};

struct walker {
	/* A fork wipes this page: what is known is in the parent's record. The others it does not, as a
	 * handler may fork in the middle of a capture, which then goes on in the child, too. */
	uint32_t used; /* frames; 0: nothing to re-use */
	uint32_t node; /* of the innermost */
	uint32_t further_used;
	uint32_t fp_used; /* frames below this may need fp */
	uint32_t version;
	uint32_t changes;
	uint32_t depth;	    /* the quick walk ends with more frames */
	enum stack_cut cut; /* why frame 0 is the last, STACK_CUT_NONE: it is the outermost */
	struct stack_range range;

	_Alignas(PAGE_BYTES) uint32_t frames; /* there is room for */
	size_t bytes;			      /* of all this */
	struct walker *smaller;		      /* the one before, which a call may still look at */
	struct node_hash *hashes;	      /* of the path down to each frame */
	uintptr_t *fps;			      /* where needs_fp */
	bool *needs_fp; /* this frame's step, or that of one further out, hangs on fp */
	struct further *further;
	struct taken *taken;		     /* by the walk, innermost first */
	struct slot quick[QUICK_FRAMES];     /* taken by the quick walk, innermost first */
	struct slot always_same[CHECK_STEP]; /* so that checks can go in whole steps */
	struct slot slots[];
};

/* Not 0 when the word below the frame is not what it was. */
static inline uintptr_t differs(const struct slot *slot)
{
	return ((const uintptr_t *)slot->sp)[-1] ^ slot->pc;
}

/* True when everything that frames 0 .. top-1 hang on is as it was. */
static inline bool same_below(const struct walker *w, unsigned top)
{
	const struct slot *slot = &w->slots[top];
	const struct further *further = w->further;
	const struct further *end = further + w->further_used;
	uintptr_t differ = 0;

	/* From the innermost on: it is there that stacks change. */
	for (; slot > w->slots; slot -= CHECK_STEP) {
		differ = differs(&slot[-1]) | differs(&slot[-2]) | differs(&slot[-3]) |
			 differs(&slot[-4]);
		if (unlikely(differ))
			return false;
	}
	while (end > further && end[-1].frame >= top)
		end--;
	for (; further < end; further++)
		differ |= *further->at ^ further->value;
	return differ == 0;
}

/* The innermost frame below `top` that is not certain to be the same; -1: all are. */
static inline int first_differing(const struct walker *w, unsigned top)
{
	int frame = (int)top - 1;

	if (same_below(w, top))
		return -1;
	while (frame >= 0 && !differs(&w->slots[frame]))
		frame--;
	for (int i = (int)w->further_used - 1; i >= 0 && (int)w->further[i].frame > frame; i--)
		if (w->further[i].frame < top && *w->further[i].at != w->further[i].value)
			return (int)w->further[i].frame;
	return frame;
}

static inline bool needs_fp(const struct walker *w, unsigned i)
{
	return i < w->fp_used && w->needs_fp[i];
}

static inline bool frame_is(const struct walker *w, unsigned i, const struct stack_state *state)
{
	return w->slots[i].sp == state->sp && w->slots[i].pc == state->pc &&
	       (!needs_fp(w, i) || w->fps[i] == state->fp);
}

static inline void further_add(struct walker *w, const uintptr_t *at, uintptr_t value, unsigned i)
{
	w->further[w->further_used++] = (struct further){ at, value, i };
}

/* Frame i was entered from the state before `state`: notes what that hangs on. */
static inline void frame_note(struct walker *w, unsigned i, const struct stack_state *state)
{
	w->slots[i] = (struct slot){ state->sp, state->pc };
	w->fps[i] = state->fp;
	if (unlikely(state->pc_at != (const uintptr_t *)state->sp - 1))
		further_add(w, state->pc_at, state->pc, i);
	if (state->fp_at && w->needs_fp[i])
		further_add(w, state->fp_at, state->fp, i);
	if (unlikely(state->cfa_at != NULL))
		further_add(w, state->cfa_at, state->sp, i);
}

/* Forgets the further words that hang on how frame kept-1 was left. */
static inline void further_cut(struct walker *w, size_t kept)
{
	while (w->further_used && w->further[w->further_used - 1].frame + 1 >= kept)
		w->further_used--;
}

#endif
