#include "shim/record/resume.h"

#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "shim/alloc/emergency.h"
#include "shim/alloc/heap.h"
#include "shim/alloc/page_heap.h"
#include "shim/alloc/span.h"
#include "shim/link.h"
#include "shim/prim.h"
#include "shim/record/batch.h"
#include "shim/record/thread.h"
#include "shim/ring.h"
#include "shim/sys.h"

/* A call lists for a quarter of the time since the last one did, within these bounds: a program that
 * allocates all the time is slowed down a little for a while, one that hardly ever does is held once. */
#define PIECE_LEAST_NS 1000000u
#define PIECE_MOST_NS 20000000u
#define PIECE_SHARE 4

/* Blocks listed, or spans looked at, before the page heap is unlocked for others. */
#define STEP_BLOCKS 512u
#define STEP_SPANS 128u

/* Room in the buffer for what is recorded around the blocks of one step: spans, pages for records. */
#define STEP_EVENTS 16u
#define BLOCK_WORDS 4u

static struct {
	struct prim_lock lock;
	uint32_t begun;	  /* turn */
	uint32_t listed;  /* turn */
	uint64_t ticks;	  /* of the resume event */
	uintptr_t at;	  /* every block below is dealt with */
	uint64_t last_ns; /* when the last piece ended */
} resume;

/* This thread has the lock; it records. */
static __thread bool holds, inside;

bool ht_resume_inside(void)
{
	return inside;
}

void ht_resume_forget(void)
{
	prim_lock_reset(&resume.lock);
	resume.begun = resume.listed = 0;
	holds = inside = false;
}

/* Where the system call filter may forbid the first way, taking a right away from a page makes the
 * kernel interrupt every processor that runs this process all the same. */
static void barrier_by_page(void)
{
	long page = sys_call6(SYS_mmap, 0, (long)PAGE_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page < 0 && page > -4096)
		return;
	*(volatile char *)page = 1;
	/* To take the page away does the same, if more is done with it. */
	if (prim_may(PRIM_PROTECT))
		sys_call3(SYS_mprotect, page, PAGE_BYTES, PROT_READ);
	sys_call2(SYS_munmap, page, PAGE_BYTES);
}

/* A memory barrier in every running thread of the process. */
static void barrier_everywhere(void)
{
	if (prim_may(PRIM_BARRIER) && sys_call1(SYS_prctl, PR_GET_SECCOMP) == 0 &&
	    sys_call2(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0) == 0 &&
	    sys_call2(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) == 0)
		return;
	barrier_by_page();
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* -- one block -- */

/* Entries are written behind the buffer's last one, all with one time, and published together. */
struct step {
	struct ring_buffer *buffer;
	uint32_t first, entries, words;
	uint64_t ticks;
};

static void step_begin(struct step *step, struct ring_buffer *buffer)
{
	*step = (struct step){ .buffer = buffer, .first = record_begin(buffer) };
	step->ticks = record_stamp(buffer, step->first, false);
}

static void step_end(struct step *step)
{
	struct ring_buffer *buffer = step->buffer;

	__atomic_store_n(&buffer->fill,
			 buffer->fill + ((uint64_t)step->words << 32) + step->entries,
			 __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	buffer->busy = 0;
}

static void put_live(struct step *step, struct span *span, uintptr_t address, size_t size_bytes,
		     struct birth birth)
{
	struct ring_buffer *buffer = step->buffer;
	uint32_t at = step->first + step->entries++;
	uint64_t *words = &buffer->details[buffer->details_used + step->words];

	buffer->ticks[at] = step->ticks;
	record_entry(buffer, at, EVENT_LIVE, span->class, address,
		     span->class ? (uint32_t)size_bytes : 0, birth.stack);
	words[0] = birth.ticks;
	words[1] = birth.thread;
	if (!span->class) {
		words[2] = size_bytes;
		words[3] = span->block_bytes;
	}
	step->words += span->class ? 2 : 4;
	__atomic_store_n(&ht_ring.head->listed_bytes, ht_ring.head->listed_bytes + size_bytes,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&ht_ring.head->listed_blocks, ht_ring.head->listed_blocks + 1,
			 __ATOMIC_RELAXED);
}

/* Lists a live block that is neither new nor listed. */
static void list_block(struct step *step, struct span *span, struct block_meta *meta,
		       uintptr_t address)
{
	size_t size_bytes = span->class ? span->block_bytes : span->requested_bytes;
	struct birth birth = meta_birth(meta->ticks, meta->site);

	if (birth.ticks && span->class)
		size_bytes = meta_size_bytes(meta->site);
	if (!birth.ticks) {
		/* What was asked for is not known; the block is as large as that, at least. */
		meta->ticks = step->ticks;
		meta->site = meta_site(size_bytes, 0, 0);
	}
	put_live(step, span, address, size_bytes, birth);
}

void ht_resume_list_old(struct span *span, void *block)
{
	struct ring_buffer *buffer = record_open();
	struct block_meta *meta = buffer ? span_meta(span, block) : NULL;
	struct step step;

	if (!meta || !inside || meta->ticks > resume.ticks ||
	    (meta->ticks > ht_epoch_ticks && (uintptr_t)block < resume.at))
		return;
	step_begin(&step, buffer);
	list_block(&step, span, meta, (uintptr_t)block);
	step_end(&step);
}

/* -- the walk; the page heap is locked -- */

static bool buffer_has_room(const struct ring_buffer *buffer)
{
	return buffer->count + STEP_BLOCKS + STEP_EVENTS < RECORD_EVENT_LIMIT &&
	       buffer->details_used + (STEP_BLOCKS + STEP_EVENTS) * BLOCK_WORDS <
		       RECORD_DETAIL_LIMIT;
}

/* Says what the pages are for. */
static void tell_use(const struct span *span)
{
	bool blocks =
		span->state == SPAN_SMALL || span->state == SPAN_LARGE || span->state == SPAN_HUGE;
	uint64_t details[2] = { span->pages * PAGE_BYTES, span->block_bytes };

	ht_watch_pages((blocks ? EVENT_SPAN : EVENT_UNSPAN) | EVENT_BY_ALLOCATOR, span->start,
		       details);
}

static void list_large(struct step *step, struct span *span)
{
	struct block_meta *meta = ht_span_meta_make_locked(span);

	if (!__atomic_load_n(&span->used, __ATOMIC_RELAXED))
		meta->ticks = 0;
	else if (meta->ticks <= resume.ticks)
		list_block(step, span, meta, span->start);
}

/* Blocks of a small span from resume.at on. */
static void list_small(struct step *step, struct span *span)
{
	struct block_meta *meta = span->meta;
	uintptr_t offset = resume.at > span->start ? resume.at - span->start : 0;
	uint32_t i = (uint32_t)((offset + span->block_bytes - 1) / span->block_bytes);
	uint32_t carved = __atomic_load_n(&span->carved, __ATOMIC_ACQUIRE);

	for (; i < carved && step->entries < STEP_BLOCKS; i++) {
		uintptr_t address = span->start + i * span->block_bytes;

		if (!ht_block_is_live(span, i))
			meta[i].ticks = 0;
		else if (meta[i].ticks <= resume.ticks)
			list_block(step, span, &meta[i], address);
	}
	resume.at = span->start + (i < carved ? i * span->block_bytes : span->pages * PAGE_BYTES);
}

/* Lists some; false: there is nothing more. */
static bool list_some(struct ring_buffer *buffer)
{
	struct step step;
	uint32_t blocks = 0;

	for (unsigned spans = 0; spans < STEP_SPANS && blocks < STEP_BLOCKS; spans++) {
		struct span *span = ht_page_map_next(resume.at, UINTPTR_MAX);
		bool small;

		if (!span)
			return false;
		if (!buffer_has_room(buffer))
			return true;
		if (resume.at <= span->start)
			tell_use(span);
		small = span->state == SPAN_SMALL && __atomic_load_n(&span->used, __ATOMIC_RELAXED);
		if (small && !ht_span_meta_make_locked(span)) {
			ht_loss_add(LOSS_UNRECORDED, span->used);
			small = false;
		}
		if (small || span->state == SPAN_LARGE || span->state == SPAN_HUGE) {
			step_begin(&step, buffer);
			if (small)
				list_small(&step, span);
			else
				list_large(&step, span);
			blocks += step.entries;
			step_end(&step);
		}
		if (!small)
			resume.at = span->start + span->pages * PAGE_BYTES;
	}
	return true;
}

static void list_piece(struct recorder *recorder)
{
	uint64_t began = ht_clock_ns(CLOCK_MONOTONIC), now = began;
	uint64_t most = (began - resume.last_ns) / PIECE_SHARE;
	bool more = true;

	if (most < PIECE_LEAST_NS)
		most = PIECE_LEAST_NS;
	if (most > PIECE_MOST_NS)
		most = PIECE_MOST_NS;
	while (more && now - began < most && ht_recording()) {
		if (!buffer_has_room(recorder->buffer)) {
			ht_batch_send(recorder);
			if (ht_link.state != LINK_ON)
				return;
		}
		if (!ht_page_heap_lock())
			break;
		more = list_some(recorder->buffer);
		ht_page_heap_unlock();
		now = ht_clock_ns(CLOCK_MONOTONIC);
	}
	resume.last_ns = now;
	if (more)
		return;
	resume.listed = resume.begun;
	__atomic_store_n(&ht_ring.head->listed_turn, resume.listed, __ATOMIC_RELEASE);
}

/* -- noticing -- */

static bool begin(uint32_t turn)
{
	struct ring_head *head = ht_ring.head;
	uint64_t details[2] = { 0, turn };
	struct ring_buffer *buffer;
	bool begun;

	barrier_everywhere();
	if (!record_open() || !ht_page_heap_lock()) /* with room: nothing is sent under that lock */
		return false;
	ht_emergency_trim(); /* the walk would not come across these pages */
	details[0] = ht_page_heap_bytes();
	ht_record_pages_at(EVENT_RESUME, 0, details, 0);
	buffer = ht_recorder->buffer;
	begun = buffer && buffer->count && buffer->kinds[buffer->count - 1] == EVENT_RESUME;
	if (begun) {
		resume.ticks = buffer->ticks[buffer->count - 1];
		__atomic_store_n(&resume.begun, turn, __ATOMIC_RELAXED);
	}
	ht_page_heap_unlock();
	if (!begun)
		return false;
	resume.at = 0;
	resume.last_ns = 0; /* the first piece may be long: most heaps are done then */
	head->listed_blocks = head->listed_bytes = 0;
	__atomic_store_n(&head->begun_turn, turn, __ATOMIC_RELEASE);
	return true;
}

/* A block with a record at the head of a free list: it was listed while it was being freed. */
static struct span *freed_meanwhile(const struct span_list *list)
{
	for (struct span *span = list->first; span; span = span->next)
		if (span->state == SPAN_SMALL && span->meta && span->free &&
		    span->meta[block_index(span, span->free)].ticks)
			return span;
	return NULL;
}

/* These lists are the calling thread's own. */
static void look_at_heads(const struct heap *heap)
{
	struct span *span = NULL;

	for (unsigned class = 1; class <= CLASS_COUNT && !span; class ++) {
		span = freed_meanwhile(&heap->classes[class].partial);
		if (!span)
			span = freed_meanwhile(&heap->classes[class].full);
	}
	if (span)
		ht_record_free(span->free, span->class, span->block_bytes, span->block_bytes,
			       &span->meta[block_index(span, span->free)], 0);
}

/* The calling thread has a buffer and knows of the turn. False: it cannot. */
static bool notice(uint32_t turn)
{
	struct recorder *recorder = ht_recorder;

	if (!recorder->buffer && recorder->hidden) {
		recorder->buffer = recorder->hidden;
		recorder->hidden = NULL;
	}
	if (!recorder->buffer)
		recorder = ht_thread_begin();
	if (!recorder)
		return false;
	for (struct recorder *each = recorder; each; each = each->nested)
		if (each->buffer->busy == RING_PARKED)
			each->buffer->busy = 0;
	/* A signal handler, in the middle of an event or a call: not now. */
	if (recorder->buffer->busy || heap_is_interrupted() ||
	    (resume.begun != turn && !begin(turn)))
		return false;
	if (recorder->noticed != turn)
		look_at_heads(ht_heap);
	recorder->noticed = turn;
	return true;
}

static void release(const struct resume_hold *hold)
{
	holds = inside = false;
	prim_unlock(&resume.lock);
	sys_signals_restore(&hold->signals);
}

/* Until all is listed, fast paths must not find the buffer. */
static void hide_buffer(void)
{
	struct recorder *recorder = ht_recorder;

	if (recorder->buffer) {
		recorder->hidden = recorder->buffer;
		recorder->buffer = NULL;
	}
}

static bool amid_event(void)
{
	const struct ring_buffer *buffer = ht_recorder->buffer;

	return buffer && buffer->busy && buffer->busy != RING_PARKED;
}

/* True: the call is to be made under the lock. */
static bool enter(uint32_t turn)
{
	inside = true;
	if (!notice(turn)) {
		/* It may have got a buffer just now. */
		if (!amid_event())
			hide_buffer();
		inside = resume.begun == turn;
		return true;
	}
	if (resume.listed != turn)
		list_piece(ht_recorder);
	if (resume.listed != turn)
		return true;
	ht_recorder->turn = turn;
	return false;
}

struct resume_hold ht_resume_enter(void)
{
	struct resume_hold hold = { .held = false };
	uint32_t control;

	/* A signal handler in the middle of what we need ourselves: some other call will do it. */
	if (holds || ht_page_heap_held)
		return hold;
	if (ht_link.state != LINK_ON || !ht_ring_is_begun() || !ht_resume_due())
		return hold;
	sys_signals_block(&hold.signals);
	prim_lock(&resume.lock);
	holds = true;
	hold.amid_event = amid_event();
	control = __atomic_load_n(ht_control, __ATOMIC_RELAXED);
	hold.held = control & RING_CONTROL_RECORD && enter(control >> RING_CONTROL_TURN_SHIFT);
	if (!hold.held)
		release(&hold);
	return hold;
}

void ht_resume_leave(struct resume_hold *hold)
{
	if (!hold->amid_event)
		hide_buffer();
	release(hold);
}

bool ht_resume_pages_begin(void)
{
	uint32_t control = __atomic_load_n(ht_control, __ATOMIC_RELAXED);
	uint32_t begun = __atomic_load_n(&resume.begun, __ATOMIC_RELAXED);

	inside = control & RING_CONTROL_RECORD && begun == control >> RING_CONTROL_TURN_SHIFT;
	return inside;
}

void ht_resume_pages_end(void)
{
	if (!amid_event())
		hide_buffer();
	inside = false;
}
