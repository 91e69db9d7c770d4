/*
 * Recording is switched on while the program runs: after `run --dormant`, or after a pause. No
 * signal and no helper thread tells anybody; each thread finds out at its next allocation call.
 *
 *   notice   The call sees a turn in the control word (proto/ring.h) that its thread has not joined.
 *            Fast paths see it too: the thread's buffer is parked, or hidden in its recorder.
 *   list     Threads that have noticed do one call at a time, under one lock, until every block that
 *            was live is listed; whoever makes a call lists a piece first, for a short while. The
 *            walk goes by address, so that of any block it is known whether it was passed.
 *   join     When all is listed, threads go on as ever, each at its next call.
 *
 * Pages: what the allocator obtained before the `resume` event is in the sum that the event carries,
 * what it obtains afterwards is an event, whether its thread has noticed or not. The page heap's lock
 * stands between the two.
 *
 * A block is listed exactly once, and while it is live:
 *   - Its record says when it was recorded. After the `resume` event: it is new, or listed already.
 *   - A thread that has noticed and frees (or moves) a block that was not passed yet lists it itself.
 *   - A thread that cannot notice yet (the page heap is closed for a fork, or it is a signal handler
 *     amid an event) makes its call under the same lock, so the walk stands still meanwhile: before
 *     the `resume` event the call is not recorded and the walk finds what it left; after it the call
 *     is recorded as that of a thread that has noticed.
 *   - A thread that has not noticed is in at most one call, begun while recording was off. A free
 *     that takes the slow path marks the block as dead and then makes sure that recording is off still
 *     (ht_resume_overtakes); a barrier in all threads stands between the switch and the walk, so the
 *     walk sees the mark, or the free sees the switch. A free that took the fast path meanwhile has
 *     left its block at the head of a free list of its thread's own, which is looked at as that
 *     thread notices.
 *   - A call that was being recorded as recording went off is over: the daemon leaves it off long
 *     enough for that.
 *   - A block that a call was just handing out at the switch may be missing from the list. It counts as not
 *     recorded.
 */
#ifndef HEAPTAPE_SHIM_RECORD_RESUME_H
#define HEAPTAPE_SHIM_RECORD_RESUME_H

#include "shim/alloc/alloc.h"
#include "shim/record/record.h"

/* The lock, held through a call while blocks are still being listed. */
struct resume_hold {
	bool held;
	bool amid_event; /* of the code that a signal handler interrupted: it goes on with its buffer */
	uint64_t signals;
};

/* Notices and lists. `held`: this call is to be made under the lock. */
struct resume_hold ht_resume_enter(void);
void ht_resume_leave(struct resume_hold *hold);

/* The calling thread has not joined the turn that the control word names. */
static inline bool ht_resume_due(void)
{
	return __atomic_load_n(ht_control, __ATOMIC_RELAXED) >> RING_CONTROL_TURN_SHIFT !=
	       ht_recorder->turn;
}

static inline struct resume_hold ht_resume_hold(void)
{
	if (unlikely(ht_resume_due()))
		return ht_resume_enter();
	return (struct resume_hold){ .held = false };
}

static inline void ht_resume_end(struct resume_hold *hold)
{
	if (unlikely(hold->held))
		ht_resume_leave(hold);
}

/* First in every recorded call, before it takes a block or looks at one. */
#define RESUME_HOLD()                                                                    \
	struct resume_hold resume_hold __attribute__((cleanup(ht_resume_end), unused)) = \
		ht_resume_hold()

/* The calling thread records although it has not joined the turn yet. */
bool ht_resume_inside(void);

/*
 * A page event of the allocator's, in a thread that has not joined the turn. False: it happened before
 * the `resume` event and is not recorded. True: it may be written; then ht_resume_pages_end().
 */
bool ht_resume_pages_begin(void);
void ht_resume_pages_end(void);

/* The lock is held and this block is about to be freed or moved: lists it unless that is done. */
void ht_resume_list_old(struct span *span, void *block);

/* A fork child begins afresh. */
void ht_resume_forget(void);

/*
 * Recording was off when a free of this block began. True: it is on by now, and the free must be
 * recorded after all; nothing was changed. False: the block counts as dead from here on.
 */
static inline bool ht_resume_overtakes(struct span *span, void *p)
{
	struct free_block *block = p;

	if (span->class)
		__atomic_store_n(&block->mark, block_mark(p), __ATOMIC_RELAXED);
	else
		__atomic_store_n(&span->used, 0, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (likely(!ht_recording()))
		return false;
	if (span->class)
		__atomic_store_n(&block->mark, 0, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&span->used, 1, __ATOMIC_RELAXED);
	return true;
}

#endif
