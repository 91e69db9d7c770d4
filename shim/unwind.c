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
#define QUICK_FRAMES 64

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

/* What else is known of a frame. */
struct frame {
	struct node_hash hash; /* of the path down to here */
	uintptr_t fp;
	bool needs_fp; /* this frame's step, or that of one further out, hangs on fp */
};

struct taken {
	struct stack_state state;
	uint64_t row;
};

/* A frame that the quick walk has taken. */
struct quick {
	uintptr_t pc;
	uintptr_t sp;
};

struct walker {
	uint32_t used; /* frames; 0: nothing to re-use */
	uint32_t node; /* of the innermost */
	uint32_t fp_used;
	uint32_t version;
	uint32_t changes;
	enum stack_cut cut; /* why frame 0 is the last, STACK_CUT_NONE: it is the outermost */
	bool busy;
	uintptr_t busy_sp;
	struct stack_range range;
	struct walker *nested;
	struct check always_same[CHECK_STEP]; /* so that checks can go in whole steps */
	struct check checks[WALKER_FRAMES];
	uintptr_t sps[1 + WALKER_FRAMES]; /* frame i's is sps[1 + i]; sps[0] is above all */
	struct frame frames[WALKER_FRAMES];
	struct quick quick[QUICK_FRAMES];
	struct fp_check fp_checks[2 * WALKER_FRAMES + 1];
	struct taken taken[WALKER_FRAMES]; /* by the walk, innermost first */
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

	return w->sps[1 + i] == state->sp && w->checks[i].value == state->pc &&
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

/* The node of the first `count` frames, which are a new stack. 0: the table is full. */
static __attribute__((noinline, cold)) uint32_t path_intern(const struct walker *w, unsigned count)
{
	unsigned known = count;
	uint32_t node = 0;

	while (known && !node)
		if (--known)
			node = ht_node_find(w->frames[known - 1].hash);
	for (; known < count; known++) {
		node = ht_node_intern(node, w->checks[known].value, w->frames[known].hash);
		if (!node)
			return 0;
	}
	ht_stack_note(w->frames[count - 1].hash, node);
	return node;
}

static inline uint32_t path_node(const struct walker *w, unsigned count)
{
	uint32_t node = ht_stack_find(w->frames[count - 1].hash);

	return likely(node) ? node : path_intern(w, count);
}

/* Frames 0 .. kept-1 stay, `taken` frames go on top. join: the state with which the walk came to
 * frame kept-1. Returns the innermost node. */
static uint32_t walker_join(struct walker *w, unsigned kept, unsigned taken,
			    const struct stack_state *join)
{
	struct node_hash hash = ht_node_root;
	bool needs_fp = false;
	unsigned i = kept, left = taken;

	fp_checks_cut(w, kept);
	if (kept) {
		hash = w->frames[kept - 1].hash;
		needs_fp = w->frames[kept - 1].needs_fp;
		frame_checks(w, kept - 1, join);
	}
	while (left--) {
		hash = ht_node_hash(hash, w->taken[left].state.pc);
		w->frames[kept + taken - 1 - left].hash = hash;
	}
	while (taken--) {
		const struct taken *from = &w->taken[taken];
		struct frame *frame = &w->frames[i];

		needs_fp = row_uses_fp(from->row) || (row_fp(from->row) == ROW_FP_SAME && needs_fp);
		frame->needs_fp = needs_fp;
		w->sps[1 + i] = from->state.sp;
		frame_checks(w, i, &from->state);
		i++;
	}
	return likely(i) ? path_node(w, i) : 0;
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

	/* Recursion without end would walk all of them each time. So it is cut with room to go on
	 * in both directions; only a limit that somebody asked for is kept to the letter. */
	if (depth == STACK_DEPTH_MAX) {
		depth_least = depth / 2;
		depth_cut = depth / 4 * 3;
	}
	*ret_kept = 0;
	for (;;) {
		uint64_t row = odd ? ht_row_interrupted(state.pc) : ht_row(state.pc, trust);

		while (kept && w->sps[kept] < state.sp)
			kept--;
		if (kept && (int)kept - 1 <= joinable && frame_is(w, kept - 1, &state) &&
		    kept + taken <= depth &&
		    (old_cut != STACK_CUT_DEPTH || kept + taken >= depth_least)) {
			joinable = first_differing(w, kept - 1);
			if (joinable < 0) {
				w->cut = old_cut; /* a slow step on the way set it */
				*ret_kept = kept;
				*ret_join = state;
				return taken;
			}
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
			odd = next.pc_at == &ht_stack_never;
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

/*
 * How many of the first `limit` frames hang, with all frames further out, on slots that hold what
 * they held. Goes through all of them, and does not jump by what it finds: this runs beside the
 * walk, which waits for memory.
 */
static inline size_t same_frames(const struct walker *w, size_t limit)
{
	const struct check *check = &w->checks[limit], *low = NULL;
	size_t same = limit;

	for (; check > w->checks; check -= CHECK_STEP) {
		uintptr_t differ =
			(*check[-1].at ^ check[-1].value) | (*check[-2].at ^ check[-2].value) |
			(*check[-3].at ^ check[-3].value) | (*check[-4].at ^ check[-4].value);

		low = differ ? check : low;
	}
	if (low) {
		unsigned differ = (unsigned)(*low[-4].at != low[-4].value) |
				  (unsigned)(*low[-3].at != low[-3].value) << 1 |
				  (unsigned)(*low[-2].at != low[-2].value) << 2 | 8;

		same = (size_t)(low - w->checks) - CHECK_STEP + (size_t)__builtin_ctz(differ);
	}
	for (size_t i = 0; i < w->fp_used && w->fp_checks[i].frame < same; i++)
		if (*w->fp_checks[i].at != w->fp_checks[i].value)
			return w->fp_checks[i].frame;
	return same;
}

/*
 * The walk as it nearly always goes: every frame that is new says "CFA = sp + n", and the frame at
 * which it meets the last capture, and those further out, do not hang on fp. Then fp has no say in
 * it, and a frame is its pc and its sp. Returns how many frames there are; 0: it went otherwise, and
 * nothing was changed.
 */
static inline size_t quick_walk(struct walker *w, size_t used, uintptr_t pc, uintptr_t sp)
{
	uintptr_t end = w->range.end;
	struct quick *taken = w->quick;
	size_t kept = used, same; /* frame kept-1 is where the walk may meet the last capture */
	struct node_hash hash;
	struct check *check;

	while (w->sps[kept] < sp)
		kept--;
	if (unlikely(!kept))
		return 0;
	same = same_frames(w, kept - 1) + 1;
	kept = kept < same ? kept : same;
	for (;;) {
		uint64_t row;

		while (w->sps[kept] < sp)
			kept--;
		if (w->sps[kept] == sp && w->checks[kept - 1].value == pc)
			break;
		row = ht_row(pc, true);
		if (unlikely(row_kind(row) != ROW_SP || taken == w->quick + QUICK_FRAMES))
			return 0;
		*taken++ = (struct quick){ pc, sp };
		sp += (uintptr_t)row_cfa_offset(row);
		if (unlikely(sp <= taken[-1].sp || sp > end || sp & 7))
			return 0;
		pc = ((const uintptr_t *)sp)[-1];
	}
	if (unlikely(w->frames[kept - 1].needs_fp ||
		     kept + (size_t)(taken - w->quick) > ht_stack_depth))
		return 0;
	fp_checks_cut(w, (unsigned)kept);
	hash = w->frames[kept - 1].hash;
	check = &w->checks[kept - 1];
	check->at = (const uintptr_t *)sp - 1;
	while (taken-- > w->quick) {
		hash = ht_node_hash(hash, taken->pc);
		*++check = (struct check){ (const uintptr_t *)taken->sp - 1, taken->pc };
		w->frames[kept].hash = hash;
		w->frames[kept].needs_fp = false;
		w->sps[++kept] = taken->sp;
	}
	return kept;
}

/* The walker is at work: a signal handler's capture must use another. Returns its frames. */
static inline unsigned walker_begin(struct walker *w, uintptr_t sp)
{
	unsigned used;

	w->busy_sp = sp;
	w->busy = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	used = w->used;
	w->used = 0;
	w->changes++;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return used;
}

static inline void walker_end(struct walker *w, unsigned used)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	w->used = used;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	w->busy = false;
}

/* By the quick walk. 0: it has to be done the other way. A signal handler's capture may have come
 * before walker_begin(): only from there on things stay as they are. */
static __attribute__((noinline)) uint32_t capture_quick(struct walker *w, uintptr_t pc,
							uintptr_t sp)
{
	unsigned used = walker_begin(w, sp);
	uint32_t node = 0;

	if (likely(used && w->cut == STACK_CUT_NONE &&
		   sp - w->range.start < w->range.end - w->range.start)) {
		unsigned now = (unsigned)quick_walk(w, used, pc, sp);

		if (likely(now)) {
			node = path_node(w, now);
			w->node = node;
			used = likely(node) ? now : 0;
		}
	}
	walker_end(w, used);
	return node;
}

static void walker_start(struct walker *w)
{
	w->sps[0] = UINTPTR_MAX;
	for (unsigned i = 0; i < CHECK_STEP; i++)
		w->always_same[i].at = &ht_stack_never;
}

static __attribute__((noinline)) uint32_t capture_changed(struct walker *w,
							  struct stack_state *state)
{
	uint32_t version = __atomic_load_n(&ht_stack_version, __ATOMIC_ACQUIRE);
	bool trust = !(version & STACK_VERSION_UNLOADS), crossed = false;
	unsigned kept = walker_begin(w, state->sp), taken, used = 0;
	uint32_t node = 0;

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
	taken = walk(w, kept, trust, state, &kept, &crossed);
	node = walker_join(w, kept, taken, state);
	if (unlikely(!node)) {
		if (kept + taken)
			ht_stack_count_cut(STACK_CUT_TABLE);
		goto out;
	}
	w->node = node;
	if (unlikely(w->cut != STACK_CUT_NONE))
		ht_stack_count_cut(w->cut);
	if (trust && !crossed)
		used = kept + taken;
out:
	walker_end(w, used);
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
	uint32_t changes = w->changes, used, node;
	enum stack_cut cut;

	ht_row_prefetch(pc);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	used = w->used;
	if (likely(used && w->version == __atomic_load_n(&ht_stack_version, __ATOMIC_ACQUIRE))) {
		if (frame_is(w, used - 1, &state) && same_below(w, used - 1)) {
			node = w->node;
			cut = w->cut;
			__atomic_signal_fence(__ATOMIC_SEQ_CST);
			if (likely(w->changes == changes)) {
				if (unlikely(cut != STACK_CUT_NONE))
					ht_stack_count_cut(cut);
				return node;
			}
		}
		if (likely(!w->busy && pc - shim_start >= shim_bytes)) {
			node = capture_quick(w, pc, sp);
			if (likely(node))
				return node;
		}
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
