/*
 * The walk and its re-use: see unwind.h for the rule.
 *
 * A signal handler may capture in the middle of a capture, and may switch to another coroutine and
 * come back later. The quick path only reads, and notices by `changes`. The others claim the walker;
 * meanwhile captures use the spare one, with all signals blocked. A handler that jumps out of a
 * capture leaves the claim behind: see was_abandoned().
 */
#pragma GCC optimize("no-tree-slp-vectorize")
#include <sys/mman.h>

#include "shim/prim.h"
#include "shim/ring.h"
#include "shim/stack/code.h"
#include "shim/stack/eh_frame.h"
#include "shim/stack/row_cache.h"
#include "shim/stack/stack_table.h"
#include "shim/stack/unwind.h"
#include "shim/stack/unwind_proof.h"
#include "shim/stack/unwind_slow.h"
#include "shim/stack/unwind_step.h"
#include "shim/stack/walker.h"
#include "shim/sys.h"

const uintptr_t ht_stack_never;

static struct walker no_walker;
#define OWN static __thread __attribute__((tls_model("initial-exec")))
OWN struct walker *walker_self = &no_walker;
OWN struct walker *walker_spare;
OWN bool spare_claimed; /* until the walker itself is claimed again */

/* The capture that has claimed the walker: where its stack begins, and the return address in the word
 * below that. A fork child has its copy of the capture, too, so these are not wiped. 0: none. */
OWN uintptr_t claimed_sp, claimed_pc;

/* The shim's own code, whose frames are left out. */
static uintptr_t shim_start, shim_bytes;

/* The node of the first `count` frames, which are a new stack. 0: the table is full. */
static __attribute__((noinline, cold)) uint32_t path_intern(const struct walker *w, unsigned count)
{
	unsigned known = count;
	bool trust = !(ht_stack_version & STACK_VERSION_UNLOADS);
	uint32_t node = 0;

	while (known && !node)
		if (--known)
			node = ht_node_find(w->hashes[known - 1]);
	for (; known < count; known++) {
		uintptr_t pc = w->slots[known].pc;
		bool by_fp = node && row_kind(ht_row(pc, trust)) == ROW_MISSING &&
			     !ht_unwind_is_restorer(NULL, pc);

		node = ht_node_intern(node, pc, by_fp, w->hashes[known]);
		if (!node)
			return 0;
	}
	ht_stack_note(w->hashes[count - 1], node);
	return node;
}

static inline uint32_t path_node(const struct walker *w, unsigned count)
{
	uint32_t node = ht_stack_find(w->hashes[count - 1]);

	return likely(node) ? node : path_intern(w, count);
}

/* Frames 0 .. kept-1 stay, `taken` frames go on top. join: the state with which the walk came to
 * frame kept-1. Returns the innermost node. */
static uint32_t walker_join(struct walker *w, unsigned kept, unsigned taken,
			    const struct stack_state *join)
{
	struct node_hash hash = ht_node_root;
	bool needs = false;
	unsigned i = kept;

	further_cut(w, kept);
	w->fp_used = w->fp_used < kept ? w->fp_used : kept;
	if (kept) {
		hash = w->hashes[kept - 1];
		needs = needs_fp(w, kept - 1);
		w->needs_fp[kept - 1] = needs;
		frame_note(w, kept - 1, join);
	}
	while (taken--) {
		const struct taken *from = &w->taken[taken];

		needs = row_uses_fp(from->row) || (row_fp(from->row) == ROW_FP_SAME && needs);
		while (needs && w->fp_used < i)
			w->needs_fp[w->fp_used++] = false;
		w->needs_fp[i] = needs;
		w->fp_used += needs;
		hash = ht_node_hash(hash, from->state.pc);
		w->hashes[i] = hash;
		frame_note(w, i, &from->state);
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
	struct unwind_regs regs;
	struct code_view code;
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
	regs.known = 0;
	code_view_begin(&code);
	for (;;) {
		uint64_t row = odd ? ht_row_interrupted(state.pc) : ht_row(state.pc, trust);
		bool other_stack = false;

		while (kept && w->slots[kept - 1].sp < state.sp)
			kept--;
		if (kept && (int)kept - 1 <= joinable && frame_is(w, kept - 1, &state) &&
		    kept + taken <= depth &&
		    (old_cut != STACK_CUT_DEPTH || kept + taken >= depth_least)) {
			joinable = first_differing(w, kept - 1);
			if (joinable < 0) {
				if (unlikely(kept + taken > w->frames))
					return TOO_DEEP;
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
			if (unlikely(taken == w->frames))
				return TOO_DEEP;
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
			/* A split stack goes on elsewhere, where the row finds it by fp. */
			w->cut = STACK_CUT_BAD_CFA;
			if (row_kind(row) != ROW_FP ||
			    state.fp - range.start < range.end - range.start)
				return taken;
			other_stack = true;
			__attribute__((fallthrough));
		case STEP_ODD:
			slow_from = state; /* copies, so that the quick steps stay in registers */
			slow_range = range;
			w->cut = (enum stack_cut)ht_stack_step_slow(&slow_from, row, &slow_range,
								    &code, &regs, &slow_next);
			next = slow_next;
			odd = next.pc_at == &ht_stack_never;
			if (w->cut == STACK_CUT_NONE && other_stack &&
			    !ht_is_return_address(&code, next.pc))
				w->cut = STACK_CUT_BAD_CFA;
			if (w->cut != STACK_CUT_NONE)
				return taken;
			if (!next.pc)
				break;
			if (next.sp <= state.sp || next.sp >= range.end) {
				/* From a signal handler's own stack to the interrupted one, say. */
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

static inline bool is_lost(const struct slot *slot, uintptr_t sp)
{
	return (differs(slot) | (slot->sp < sp)) != 0;
}

/*
 * How many of the last capture's frames are there still, as far as can be seen from here: they begin
 * at `sp` or above, and the words below them are as they were. Goes through all of them, a fixed
 * number at a time, and does not jump by what it finds: that cannot be predicted, and each such jump
 * costs as much as ten frames.
 */
static inline size_t same_frames(const struct walker *w, size_t used, uintptr_t sp)
{
	const struct slot *slot = &w->slots[used], *low = slot;
	const struct slot *whole = &w->slots[used % CHECK_STEP];
	size_t same;

	for (; slot > whole; slot -= CHECK_STEP) {
		low = is_lost(&slot[-1], sp) ? &slot[-1] : low;
		low = is_lost(&slot[-2], sp) ? &slot[-2] : low;
		low = is_lost(&slot[-3], sp) ? &slot[-3] : low;
		low = is_lost(&slot[-4], sp) ? &slot[-4] : low;
	}
	/* Those that are left over; the outermost stands in for what is not there. */
	for (int i = CHECK_STEP - 2; i >= 0; i--) {
		slot = &w->slots[i] < whole ? &w->slots[i] : w->slots;
		low = is_lost(slot, sp) ? slot : low;
	}
	same = (size_t)(low - w->slots);
	for (size_t i = 0; i < w->further_used && w->further[i].frame < same; i++)
		if (*w->further[i].at != w->further[i].value)
			return w->further[i].frame;
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
	const struct row_table *table = __atomic_load_n(&ht_row_table, __ATOMIC_ACQUIRE);
	const uint64_t *rows = table->slots;
	size_t mask = table->mask;
	uintptr_t end = w->range.end;
	struct slot *taken = w->quick;
	size_t kept, same; /* frame kept-1 is where the walk may meet the last capture */
	struct node_hash hash;

	if (unlikely(sp & 7))
		return 0;
	same = same_frames(w, used, sp) + 1;
	kept = used < same ? used : same;
	for (;;) {
		size_t step;

		while (w->slots[kept - 1].sp < sp)
			if (unlikely(!--kept))
				return 0;
		if (w->slots[kept - 1].sp == sp && w->slots[kept - 1].pc == pc)
			break;
		step = row_step_bytes(pc, rows, mask);
		if (unlikely(step < ROW_STEP_LEAST)) {
			uint64_t row = ht_row(pc, true);

			step = row_kind(row) == ROW_SP ? (size_t)row_cfa_offset(row) : 0;
			if (step < ROW_STEP_LEAST || step > ROW_STEP_MOST || step & 7)
				return 0;
		}
		*taken++ = (struct slot){ sp, pc };
		sp += step;
		if (unlikely(sp > end || taken == w->quick + QUICK_FRAMES))
			return 0;
		pc = ((const uintptr_t *)sp)[-1];
	}
	if (unlikely(needs_fp(w, (unsigned)kept - 1) ||
		     kept + (size_t)(taken - w->quick) > w->depth))
		return 0;
	further_cut(w, kept);
	w->fp_used = w->fp_used < kept ? w->fp_used : (uint32_t)kept;
	hash = w->hashes[kept - 1];
	while (taken-- > w->quick) {
		hash = ht_node_hash(hash, taken->pc);
		w->slots[kept] = *taken;
		w->hashes[kept++] = hash;
	}
	return kept;
}

/* In one instruction, so that of this thread's captures one has the walker, wherever signal handlers
 * switch to. False: another capture than `from` has it. */
static inline bool claim(uintptr_t from, uintptr_t sp)
{
#if defined(__x86_64__)
	bool claimed;

	__asm__ volatile("cmpxchg %3, %1"
			 : "=@ccz"(claimed), "+m"(claimed_sp), "+a"(from)
			 : "r"(sp)
			 : "memory");
	return claimed;
#else
	return __atomic_compare_exchange_n(&claimed_sp, &from, sp, false, __ATOMIC_RELAXED,
					   __ATOMIC_RELAXED);
#endif
}

/* Returns the walker's frames. */
static inline unsigned walker_begin(struct walker *w)
{
	unsigned used = w->used;

	w->used = 0;
	w->changes++;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return used;
}

/* False: a handler has forked, and in the child the walker was wiped meanwhile. */
static inline bool walker_end(struct walker *w, unsigned used, uint32_t version)
{
	bool intact = w->version == version;

	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	w->used = likely(intact) ? used : 0;
	return intact;
}

static inline void unclaim(void)
{
	claimed_pc = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	claimed_sp = 0;
}

/* By the quick walk. 0: it has to be done the other way. A signal handler's capture may have come
 * before the claim: only from there on things stay as they are. */
static __attribute__((noinline)) uint32_t capture_quick(struct walker *w, uintptr_t pc,
							uintptr_t sp)
{
	uint32_t version = w->version, node = 0;
	unsigned used;

	if (unlikely(!claim(0, sp)))
		return 0;
	claimed_pc = pc;
	used = walker_begin(w);
	if (likely(used && w->cut == STACK_CUT_NONE &&
		   sp - w->range.start < w->range.end - w->range.start)) {
		unsigned now = (unsigned)quick_walk(w, used, pc, sp);

		if (likely(now)) {
			node = path_node(w, now);
			w->node = node;
			used = likely(node) ? now : 0;
		}
	}
	if (unlikely(!walker_end(w, used, version)))
		node = 0;
	unclaim();
	return node;
}

static void walker_start(struct walker *w)
{
	w->depth = ht_stack_depth < w->frames ? ht_stack_depth : w->frames;
	for (unsigned i = 0; i < CHECK_STEP; i++)
		w->always_same[i] =
			(struct slot){ (uintptr_t)(&ht_stack_never + 1), ht_stack_never };
}

/* The walker is ours. False: nothing of it is true, see walker_end(). *ret_node may be TOO_DEEP. */
static bool capture_with(struct walker *w, const struct stack_state *from, uint32_t *ret_node)
{
	uint32_t version = __atomic_load_n(&ht_stack_version, __ATOMIC_ACQUIRE), node = 0;
	bool trust = !(version & STACK_VERSION_UNLOADS), crossed = false;
	unsigned kept = walker_begin(w), taken, used = 0;
	struct stack_state join = *from;

	*ret_node = 0;
	if (w->version != version) {
		if (!ht_ring_is_begun())
			return true;
		walker_start(w);
		version = __atomic_load_n(&ht_stack_version, __ATOMIC_ACQUIRE);
		w->version = version;
		w->range = (struct stack_range){ 0, 0 };
		kept = 0;
	}
	if (unlikely(from->sp - w->range.start >= w->range.end - w->range.start) &&
	    !ht_stack_range_find(from->sp, &w->range)) {
		w->range = (struct stack_range){ 0, 0 };
		ht_stack_count_cut(STACK_CUT_BAD_CFA);
		return true;
	}
	taken = walk(w, kept, trust, &join, &kept, &crossed);
	if (unlikely(taken == TOO_DEEP)) {
		*ret_node = TOO_DEEP;
		return walker_end(w, 0, version);
	}
	node = walker_join(w, kept, taken, &join);
	if (unlikely(!node)) {
		if (kept + taken)
			ht_stack_count_cut(STACK_CUT_TABLE);
		return true;
	}
	w->node = node;
	if (unlikely(w->cut != STACK_CUT_NONE))
		ht_stack_count_cut(w->cut);
	if (trust && !crossed)
		used = kept + taken;
	*ret_node = node;
	return walker_end(w, used, version);
}

/* Makes a walker in the place of one that is too small; NULL: no memory. */
static struct walker *walker_make(uint32_t frames, struct walker *smaller)
{
	size_t room = frames + FRAMES_BESIDE;
	size_t each = sizeof(struct slot) + sizeof(struct node_hash) + sizeof(uintptr_t) +
		      3 * sizeof(struct further) + sizeof(struct taken) + sizeof(bool);
	size_t bytes = sizeof(struct walker) + room * each;
	struct walker *w = ht_stack_pages(bytes);

	if (!w)
		return NULL;
	if (prim_may(PRIM_MADVISE))
		sys_call3(SYS_madvise, w, PAGE_BYTES, MADV_WIPEONFORK);
	w->frames = frames;
	w->bytes = bytes;
	w->smaller = smaller;
	w->hashes = (struct node_hash *)(void *)(w->slots + room);
	w->fps = (uintptr_t *)(void *)(w->hashes + room);
	w->further = (struct further *)(void *)(w->fps + room);
	w->taken = (struct taken *)(void *)(w->further + 3 * room);
	w->needs_fp = (bool *)(void *)(w->taken + room);
	return w;
}

/* Captures with one of the thread's walkers, in whose place a larger one comes if need be. */
static bool capture_grown(struct walker **place, const struct stack_state *from, uint32_t *ret_node)
{
	bool intact = capture_with(*place, from, ret_node);

	if (unlikely(*ret_node == TOO_DEEP)) {
		struct walker *w = walker_make(LARGE_FRAMES, *place);

		*ret_node = 0;
		if (w) {
			*place = w;
			return capture_with(w, from, ret_node);
		}
		ht_stack_count_cut(STACK_CUT_TABLE);
	}
	return intact;
}

/*
 * Did a handler jump out of the capture that has the walker? While that capture lives, the return
 * address it began with stays where it is, on whatever stack, and no other call has its own there.
 * Until that place is used again, the capture counts as interrupted.
 */
static bool was_abandoned(uintptr_t old_sp, uintptr_t sp)
{
	struct stack_range range;
	uintptr_t pc;

	if (sp == old_sp)
		return true;
	if (!ht_stack_peek(old_sp - sizeof(pc), &pc))
		return !ht_stack_range_find(old_sp - sizeof(pc), &range);
	if (!claimed_pc) /* interrupted right after the claim */
		claimed_pc = pc;
	return claimed_pc != pc;
}

/* What the program may have to see to while we read its stack or make a system call. */
#define SIGNAL_BIT(number) ((uint64_t)1 << ((number)-1))
#define FAULTS                                                                                \
	(SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGSYS) | SIGNAL_BIT(SIGILL) | \
	 SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGTRAP))

/* Beside a capture that was interrupted. Signals wait meanwhile, so it needs no other one beside it. */
static uint32_t capture_beside(const struct stack_state *from)
{
	uint64_t waiting = ~FAULTS, before;
	uint32_t node = 0;

	sys_call4(SYS_rt_sigprocmask, SIG_BLOCK, &waiting, &before, sizeof(waiting));
	if (!walker_spare)
		walker_spare = walker_make(SMALL_FRAMES, NULL);
	if (walker_spare && !spare_claimed) {
		spare_claimed = true;
		capture_grown(&walker_spare, from, &node);
		spare_claimed = false;
	} else {
		ht_stack_count_cut(STACK_CUT_TABLE);
	}
	sys_signals_restore(&before);
	return node;
}

/* Not by the quick walk: the walker is to be made, its frames say little, or another capture has it. */
static __attribute__((noinline)) uint32_t capture_changed(const struct stack_state *from)
{
	uintptr_t old_sp = claimed_sp;
	uint32_t node = 0;
	bool intact;

	if (unlikely(!ht_stack_depth))
		return 0;
	if (unlikely((old_sp && !was_abandoned(old_sp, from->sp)) || !claim(old_sp, from->sp)))
		return capture_beside(from);
	claimed_pc = from->pc;
	spare_claimed = false;
	if (unlikely(walker_self == &no_walker)) {
		struct walker *w = walker_make(SMALL_FRAMES, NULL);

		if (w)
			walker_self = w;
		else
			ht_stack_count_cut(STACK_CUT_TABLE);
	}
	intact = walker_self == &no_walker || capture_grown(&walker_self, from, &node);
	unclaim();
	return likely(intact) ? node : capture_beside(from);
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
		if (likely(pc - shim_start >= shim_bytes)) {
			node = capture_quick(w, pc, sp);
			if (likely(node))
				return node;
		}
	}
	return capture_changed(&state);
}

static void walkers_free(struct walker *w)
{
	while (w && w != &no_walker) {
		struct walker *smaller = w->smaller;

		ht_stack_pages_free(w, w->bytes);
		w = smaller;
	}
}

void ht_stack_thread_end(void)
{
	struct walker *w = walker_self, *spare = walker_spare;

	walker_self = &no_walker;
	walker_spare = NULL;
	walkers_free(w);
	walkers_free(spare);
}

void ht_stack_own_code(uintptr_t start, uintptr_t end)
{
	shim_start = start;
	shim_bytes = end - start;
}
