/*
 * The walk and its re-use: see unwind.h for the rule.
 *
 * A thread's last capture lies in its walker, outermost frame first, so that what stays the same
 * stays in place. `checks[i]` is the slot that held frame i's pc when the walk came to frame i;
 * `fp_checks` the further slots that frames need to be the same, in order of their frames.
 *
 * A signal handler may capture in the middle of a capture. The quick path only reads, and notices
 * by `changes`; the other one empties the walker first and marks it busy, so that the handler's
 * capture uses the nested walker. A handler that jumps out of both leaves `busy` behind, which is
 * noticed by the stack pointer having left that frame.
 */
#pragma GCC optimize("no-tree-slp-vectorize")
#include <limits.h>
#include <sys/mman.h>

#include "shim/eh_frame.h"
#include "shim/fork.h"
#include "shim/row_cache.h"
#include "shim/stack_table.h"
#include "shim/sys.h"
#include "shim/unwind.h"
#include "shim/unwind_step.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define NEST_LEVELS 2
#define CHECK_STEP 4
#define MEMO_BITS 7
#define MEMO_FRAMES 5

/* Not in whole pages, so that the beginnings of a walker's arrays are not in the same cache sets. */
#define WALKER_FRAMES (STACK_DEPTH_MAX + 24)

struct check {
	const uintptr_t *at;
	uintptr_t value;
};

struct fp_check {
	const uintptr_t *at;
	uintptr_t value;
	uint32_t frame;
};

struct frame {
	uintptr_t sp;
	uintptr_t fp;
	uint64_t row;
	uint64_t hash; /* of the node */
	uint32_t node;
	bool needs_fp; /* this frame's step, or that of one further out, hangs on fp */
};

struct taken {
	struct stack_state state;
	uint64_t row;
};

/*
 * What an earlier walk from (pc, sp) took before it came to a frame that had stayed, when none of
 * its steps hung on fp: then only the return addresses in these slots have a say in it, so where
 * they are the same and the frame that stayed is, the outcome is.
 */
struct memo {
	uintptr_t pc;
	uintptr_t sp;
	uint32_t version;
	uint32_t kept;
	uint32_t taken;
	uint32_t join_node;
	struct check join;
	struct frame frames[MEMO_FRAMES]; /* outermost first, as in the walker */
	struct check checks[MEMO_FRAMES];
};

struct walker {
	uint32_t used; /* frames; 0: nothing to re-use */
	uint32_t fp_used;
	uint32_t version;
	uint32_t changes;
	uint32_t memo_turn;
	enum stack_cut cut; /* why frame 0 is the last, STACK_CUT_NONE: it is the outermost */
	bool busy;
	uintptr_t busy_sp;
	struct stack_range range;
	struct walker *nested;
	struct check always_same[CHECK_STEP]; /* so that checks can go in whole steps */
	struct check checks[WALKER_FRAMES];
	struct frame frames[WALKER_FRAMES];
	struct fp_check fp_checks[2 * WALKER_FRAMES + 1];
	struct taken taken[WALKER_FRAMES]; /* by the walk, innermost first */
	struct memo memos[1 << MEMO_BITS];
};

uint32_t ht_stack_version = STACK_VERSION_STEP;
const uintptr_t ht_stack_never;

static struct walker no_walker;
static __thread struct walker *walker_self __attribute__((tls_model("initial-exec"))) = &no_walker;

/* The shim's own code, whose frames are left out. */
static uintptr_t shim_start, shim_bytes;

/* True when every slot that frames 0 .. top-1 hang on holds what it held. */
static inline bool same_below(const struct walker *w, unsigned top)
{
	const struct check *check = &w->checks[top];
	const struct fp_check *fp = w->fp_checks;
	const struct fp_check *fp_end = fp + w->fp_used;
	uintptr_t differ = 0;

	/* From the innermost on: it is there that stacks change. */
	for (int left = (int)top; left > 0; left -= CHECK_STEP, check -= CHECK_STEP) {
		differ = (*check[-1].at ^ check[-1].value) | (*check[-2].at ^ check[-2].value) |
			 (*check[-3].at ^ check[-3].value) | (*check[-4].at ^ check[-4].value);
		if (unlikely(differ))
			return false;
	}
	while (fp_end > fp && fp_end[-1].frame >= top)
		fp_end--;
	for (; fp < fp_end; fp++)
		differ |= *fp->at ^ fp->value;
	return differ == 0;
}

/* The innermost frame below `top` that is not certain to be the same; -1: all are. */
static int first_differing(const struct walker *w, unsigned top)
{
	int frame = (int)top - 1;

	if (same_below(w, top))
		return -1;
	while (frame >= 0 && *w->checks[frame].at == w->checks[frame].value)
		frame--;
	for (int i = (int)w->fp_used - 1; i >= 0 && (int)w->fp_checks[i].frame > frame; i--)
		if (w->fp_checks[i].frame < top && *w->fp_checks[i].at != w->fp_checks[i].value)
			return (int)w->fp_checks[i].frame;
	return frame;
}

static inline bool frame_is(const struct walker *w, unsigned i, const struct stack_state *state)
{
	const struct frame *frame = &w->frames[i];

	return frame->sp == state->sp && w->checks[i].value == state->pc &&
	       (!frame->needs_fp || frame->fp == state->fp);
}

/* Frame i was entered from the state before `state`: notes what that hangs on. */
static inline void frame_checks(struct walker *w, unsigned i, const struct stack_state *state)
{
	w->checks[i] = (struct check){ state->pc_at, state->pc };
	w->frames[i].fp = state->fp;
	/* Written in any case and kept when it counts: that goes either way too often to predict. */
	w->fp_checks[w->fp_used] = (struct fp_check){ state->fp_at, state->fp, i };
	w->fp_used += state->fp_at && w->frames[i].needs_fp;
	if (unlikely(state->cfa_at != NULL))
		w->fp_checks[w->fp_used++] = (struct fp_check){ state->cfa_at, state->sp, i };
}

/* Forgets the checks that hang on how frame kept-1 was left. */
static inline void fp_checks_cut(struct walker *w, unsigned kept)
{
	while (w->fp_used && w->fp_checks[w->fp_used - 1].frame + 1 >= kept)
		w->fp_used--;
}

/* Frames 0 .. kept-1 stay, `taken` frames go on top. join: the state with which the walk came to
 * frame kept-1. Returns the innermost node. */
static uint32_t walker_join(struct walker *w, unsigned kept, unsigned taken,
			    const struct stack_state *join)
{
	uint32_t node = 0;
	uint64_t hash = 0;
	bool needs_fp = false;
	unsigned i = kept, left = taken;

	fp_checks_cut(w, kept);
	if (kept) {
		node = w->frames[kept - 1].node;
		hash = w->frames[kept - 1].hash;
		needs_fp = w->frames[kept - 1].needs_fp;
		frame_checks(w, kept - 1, join);
	}
	while (left--) {
		hash = ht_node_hash(hash, w->taken[left].state.pc);
		ht_node_prefetch(hash);
		w->frames[kept + taken - 1 - left].hash = hash;
	}
	while (taken--) {
		const struct taken *from = &w->taken[taken];
		struct frame *frame = &w->frames[i];

		needs_fp = row_uses_fp(from->row) || (row_fp(from->row) == ROW_FP_SAME && needs_fp);
		frame->needs_fp = needs_fp;
		frame->sp = from->state.sp;
		frame->row = from->row;
		frame_checks(w, i, &from->state);
		node = ht_node_intern(node, from->state.pc, frame->hash);
		if (unlikely(!node))
			return 0;
		frame->node = node;
		i++;
	}
	return node;
}

/*
 * Walks from `state` outwards until the rest is known to be the same. ret_kept: frames that stay,
 * ret_join: the state at the innermost of them. Returns how many frames it has `taken`.
 */
static unsigned walk(struct walker *w, unsigned kept, bool trust, struct stack_state *ret_join,
		     unsigned *ret_kept, bool *ret_crossed)
{
	struct stack_state state = *ret_join, next, slow_from, slow_next;
	struct stack_range range = w->range, slow_range;
	unsigned depth = ht_stack_depth, depth_least = depth, depth_cut = depth, taken = 0;
	enum stack_cut old_cut = w->cut;
	bool odd = false;	/* the state may be one that a signal interrupted */
	int joinable = INT_MAX; /* frames above this have something beneath them that changed */
	const struct frame *frame = &w->frames[kept] - 1;

	/* Recursion without end would walk all of them each time. So it is cut with room to go on
	 * in both directions; only a limit that somebody asked for is kept to the letter. */
	if (depth == STACK_DEPTH_MAX) {
		depth_least = depth / 2;
		depth_cut = depth / 4 * 3;
	}
	*ret_kept = 0;
	for (;;) {
		uint64_t row;

		while (kept && frame->sp < state.sp) {
			kept--;
			frame--;
		}
		if (kept && frame->sp == state.sp && w->checks[kept - 1].value == state.pc) {
			row = frame->row;
			if ((int)kept - 1 <= joinable &&
			    (!frame->needs_fp || frame->fp == state.fp) && kept + taken <= depth &&
			    (old_cut != STACK_CUT_DEPTH || kept + taken >= depth_least)) {
				joinable = first_differing(w, kept - 1);
				if (joinable < 0) {
					w->cut = old_cut; /* a slow step on the way set it */
					*ret_kept = kept;
					*ret_join = state;
					return taken;
				}
			}
		} else {
			row = odd ? ht_row_interrupted(state.pc) : ht_row(state.pc, trust);
		}
		if (taken || state.pc - shim_start >= shim_bytes) {
			if (taken == depth) {
				w->cut = STACK_CUT_DEPTH;
				return depth_cut;
			}
			w->taken[taken].state = state;
			w->taken[taken].row = row;
			taken++;
		}
		switch (stack_step(row, &state, &range, &next)) {
		case STEP_DONE:
			odd = false;
			break;
		case STEP_END:
			w->cut = STACK_CUT_NONE;
			return taken;
		case STEP_BAD:
			w->cut = STACK_CUT_BAD_CFA;
			return taken;
		case STEP_ODD:
			slow_from = state; /* copies, so that the quick steps stay in registers */
			slow_range = range;
			w->cut = (enum stack_cut)ht_stack_step_slow(&slow_from, row, &slow_range,
								    &slow_next);
			next = slow_next;
			odd = true;
			if (w->cut != STACK_CUT_NONE)
				return taken;
			if (!next.pc)
				break;
			if (next.sp <= state.sp || next.sp >= range.end) {
				/* From a signal handler's own stack to the interrupted one. */
				kept = 0;
				*ret_crossed = true;
				if (!ht_stack_range_find(next.sp, &slow_range)) {
					w->cut = STACK_CUT_BAD_CFA;
					return taken;
				}
				range = slow_range;
			}
			break;
		}
		if (!next.pc) {
			w->cut = STACK_CUT_NONE;
			return taken;
		}
		state = next;
	}
}

/* The first of the two places for (pc, sp): callers often take turns. */
static struct memo *memo_of(struct walker *w, uintptr_t pc, uintptr_t sp)
{
	size_t hash = ((pc ^ sp << 20) * 0x9e3779b97f4a7c15ull) >> (64 - MEMO_BITS);

	return &w->memos[hash & ~(size_t)1];
}

/* The walk from (pc, sp) done by a memo. used: frames of the last capture. Returns how many there
 * are now; 0: no memo fits. */
static inline unsigned memo_apply(struct walker *w, const struct memo *memo, unsigned used,
				  uintptr_t pc, uintptr_t sp)
{
	unsigned kept = memo->kept;
	uintptr_t differ;

	if (memo->pc != pc || memo->sp != sp || memo->version != w->version || kept > used ||
	    w->cut == STACK_CUT_DEPTH || w->frames[kept - 1].node != memo->join_node ||
	    w->frames[kept - 1].sp != (uintptr_t)(memo->join.at + 1))
		return 0;
	differ = *memo->join.at ^ memo->join.value;
	for (unsigned i = 0; i + 1 < memo->taken; i++)
		differ |= *memo->checks[i].at ^ memo->checks[i].value;
	if (differ || !same_below(w, kept - 1))
		return 0;
	fp_checks_cut(w, kept);
	w->checks[kept - 1] = memo->join;
	for (unsigned i = 0; i < memo->taken; i++) {
		w->frames[kept + i] = memo->frames[i];
		w->checks[kept + i] = memo->checks[i];
	}
	return kept + memo->taken;
}

/* Remembers the walk from (pc, sp) that was just joined, if it is of the simple kind. */
static void memo_keep(struct walker *w, unsigned kept, unsigned taken, uintptr_t pc, uintptr_t sp)
{
	struct memo *memo = memo_of(w, pc, sp) + (w->memo_turn++ & 1);

	if (!kept || !taken || taken > MEMO_FRAMES || w->taken[0].state.pc != pc ||
	    w->frames[kept - 1].needs_fp || w->checks[kept - 1].at == &ht_stack_never)
		return;
	for (unsigned i = 0; i < taken; i++)
		if (w->frames[kept + i].needs_fp ||
		    (i + 1 < taken && w->checks[kept + i].at == &ht_stack_never))
			return;
	for (unsigned i = 0; i < taken; i++) {
		memo->frames[i] = w->frames[kept + i];
		memo->checks[i] = w->checks[kept + i];
	}
	memo->pc = pc;
	memo->sp = sp;
	memo->version = w->version;
	memo->kept = kept;
	memo->taken = taken;
	memo->join_node = w->frames[kept - 1].node;
	memo->join = w->checks[kept - 1];
}

static void walker_start(struct walker *w)
{
	for (unsigned i = 0; i < CHECK_STEP; i++)
		w->always_same[i].at = &ht_stack_never;
}

static __attribute__((noinline)) uint32_t capture_changed(struct walker *w,
							  struct stack_state *state)
{
	uint32_t version = __atomic_load_n(&ht_stack_version, __ATOMIC_ACQUIRE);
	bool trust = !(version & STACK_VERSION_UNLOADS), crossed = false;
	unsigned kept, taken, used;
	const struct memo *memo;
	uintptr_t pc, sp;
	uint32_t node = 0;

	w->busy_sp = state->sp;
	w->busy = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	kept = w->used;
	w->used = 0;
	w->changes++;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (w->version != version) {
		if (!ht_fork_seen_to())
			goto out;
		walker_start(w);
		version = __atomic_load_n(&ht_stack_version, __ATOMIC_ACQUIRE);
		w->version = version;
		w->range = (struct stack_range){ 0, 0 };
		kept = 0;
	}
	if (unlikely(state->sp - w->range.start >= w->range.end - w->range.start) &&
	    !ht_stack_range_find(state->sp, &w->range)) {
		w->range = (struct stack_range){ 0, 0 };
		ht_stack_count_cut(STACK_CUT_BAD_CFA);
		goto out;
	}
	pc = state->pc;
	sp = state->sp;
	memo = memo_of(w, pc, sp);
	used = kept && trust ? memo_apply(w, memo, kept, pc, sp) : 0;
	if (!used && kept && trust)
		used = memo_apply(w, memo + 1, kept, pc, sp);
	if (used) {
		node = w->frames[used - 1].node;
		if (unlikely(w->cut != STACK_CUT_NONE))
			ht_stack_count_cut(w->cut);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		w->used = used;
		goto out;
	}
	taken = walk(w, kept, trust, state, &kept, &crossed);
	node = walker_join(w, kept, taken, state);
	if (unlikely(!node)) {
		if (kept + taken)
			ht_stack_count_cut(STACK_CUT_TABLE);
		goto out;
	}
	if (unlikely(w->cut != STACK_CUT_NONE))
		ht_stack_count_cut(w->cut);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (trust && !crossed) {
		memo_keep(w, kept, taken, pc, sp);
		w->used = kept + taken;
	}
out:
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	w->busy = false;
	return node;
}

/* A walker lies on pages that a fork wipes: what it knows is in its parent's record. */
static struct walker *walker_make(void)
{
	struct walker *w = ht_stack_pages(sizeof(*w));

	if (w)
		sys_call3(SYS_madvise, w, sizeof(*w), MADV_WIPEONFORK);
	return w;
}

/* No walker yet, or it is in the middle of a capture that a signal interrupted. */
static __attribute__((noinline, cold)) uint32_t capture_odd(struct stack_state *state)
{
	struct walker *w = walker_self;

	if (!ht_stack_depth)
		return 0;
	if (w == &no_walker) {
		w = walker_make();
		if (!w)
			return 0;
		/* A signal handler may have been quicker. */
		if (walker_self == &no_walker)
			walker_self = w;
		else
			ht_stack_pages_free(w, sizeof(*w));
		w = walker_self;
	}
	for (unsigned level = 0; w->busy; level++) {
		if (state->sp > w->busy_sp && state->sp < w->range.end) {
			w->busy = false; /* that capture was jumped out of */
			break;
		}
		if (level == NEST_LEVELS)
			return 0;
		if (!w->nested)
			w->nested = walker_make();
		w = w->nested;
		if (!w)
			return 0;
	}
	return capture_changed(w, state);
}

uint32_t ht_stack_capture(uintptr_t pc, uintptr_t sp, uintptr_t fp)
{
	struct walker *w = walker_self;
	struct stack_state state = { pc, sp, fp, &ht_stack_never, NULL, NULL };
	uint32_t used = w->used, changes = w->changes, node;
	enum stack_cut cut;

	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (likely(used && w->version == __atomic_load_n(&ht_stack_version, __ATOMIC_ACQUIRE))) {
		if (frame_is(w, used - 1, &state) && same_below(w, used - 1)) {
			node = w->frames[used - 1].node;
			cut = w->cut;
			__atomic_signal_fence(__ATOMIC_SEQ_CST);
			if (likely(w->changes == changes)) {
				if (unlikely(cut != STACK_CUT_NONE))
					ht_stack_count_cut(cut);
				return node;
			}
		}
		if (likely(!w->busy))
			return capture_changed(w, &state);
	}
	if (likely(w != &no_walker && !w->busy && ht_stack_depth))
		return capture_changed(w, &state);
	return capture_odd(&state);
}

void ht_stack_thread_end(void)
{
	struct walker *w = walker_self;

	walker_self = &no_walker;
	while (w && w != &no_walker) {
		struct walker *nested = w->nested;

		ht_stack_pages_free(w, sizeof(*w));
		w = nested;
	}
}

void ht_stack_own_code(uintptr_t start, uintptr_t end)
{
	shim_start = start;
	shim_bytes = end - start;
}
