#include "shim/alloc/heap.h"
#include "shim/alloc/size_class.h"

#include <pthread.h>
#include <string.h>

#include "shim/alloc/check.h"
#include "shim/libc.h"

/* While the heap is small, empty spans of larger blocks than this are not kept: their pages serve
 * other classes. */
#define KEEP_MOST_BYTES 1024
/* But when a class has given up the only span with free blocks so often, it keeps one. */
#define GIVEN_UP_MOST 4
#define SMALL_HEAP_PAGES 4096

/* Full spans looked at for remote frees before a new span is made. */
#define FULL_LOOKS 8

struct span ht_span_none;
struct heap ht_heap_none = {
	.taken = UINTPTR_MAX,
	.direct = { [0 ... DIRECT_COUNT - 1] = &ht_span_none },
	.current = { [0 ... CLASS_COUNT] = &ht_span_none },
};
__thread struct heap *ht_heap __attribute__((tls_model("initial-exec"))) = &ht_heap_none;
uint32_t ht_heaps_left;

static struct heap *unused_heaps; /* under the page heap's lock */
static bool several_heaps;	  /* more than one was ever made */
static pthread_key_t end_key;
static bool have_end_key;

/* Signal handlers in the middle of one another's work on heaps. */
#define HEAP_NESTING 8

/* Makes `span` what malloc takes from. */
static void set_current(struct heap *heap, unsigned class, struct span *span)
{
	size_t bytes = size_class_bytes(class), from;

	heap->current[class] = span;
	if (bytes > DIRECT_MAX_BYTES)
		return;
	from = class > 1 ? size_class_bytes(class - 1) / BLOCK_ALIGN + 1 : 0;
	for (size_t i = from; i <= bytes / BLOCK_ALIGN; i++)
		heap->direct[i] = span;
}

static void abandon(struct heap *heap);
static void abandon_locked(void);

static void thread_end_cb(void *user)
{
	struct heap *heap = ht_heap, *inner;

	(void)user;
	while (heap->outer)
		heap = heap->outer;
	/* From here on this thread's frees are remote ones. */
	ht_heap_set(&ht_heap_none);
	for (; heap && heap != &ht_heap_none; heap = inner) {
		inner = heap->inner;
		abandon(heap);
	}
}

/* Threads tell us when they end; the first one got its heap before this could be arranged. */
static __attribute__((constructor(101))) void heap_start(void)
{
	if (ht_libc()->pthread_key_create(&end_key, thread_end_cb) != 0)
		return;
	have_end_key = true;
	if (ht_heap != &ht_heap_none)
		ht_libc()->pthread_setspecific(end_key, ht_heap);
}

/* A new heap, for handlers that interrupt work on `outer`; NULL: the thread's own. */
static struct heap *make_heap(struct heap *outer)
{
	struct heap **place = outer ? &outer->inner : &ht_heap, *heap;
	unsigned depth = 0;

	for (heap = outer; heap; heap = heap->outer)
		depth++;
	if (unlikely(depth >= HEAP_NESTING || !ht_page_heap_lock()))
		return NULL;
	heap = *place;
	if (heap && heap != &ht_heap_none) { /* a signal handler was first */
		ht_page_heap_unlock();
		return heap;
	}
	abandon_locked();
	heap = unused_heaps;
	if (heap)
		unused_heaps = heap->next;
	else
		heap = ht_records_locked(sizeof(*heap));
	if (heap) {
		static bool made;

		if (made)
			__atomic_store_n(&several_heaps, true, __ATOMIC_RELAXED);
		made = true;
		*heap = ht_heap_none;
		heap->taken = 0;
		heap->outer = outer;
		*place = heap;
	}
	ht_page_heap_unlock();
	if (heap && have_end_key)
		ht_libc()->pthread_setspecific(end_key, heap);
	return heap;
}

/* Was the call that took the heap left for good? */
static bool was_left(const struct heap *heap)
{
	return heap->taken && ht_frame_was_left((uint32_t)heap->taken);
}

bool ht_heap_regain(struct heap *heap)
{
	if (!was_left(heap))
		return false;
	__atomic_fetch_add(&ht_heaps_left, 1, __ATOMIC_RELAXED);
	if (!(heap->taken & HEAP_REARRANGED)) {
		heap->taken = 0;
		return true;
	}
	/* Its lists are as they were caught. Blocks of it can be freed as remote ones, but nobody
	 * allocates from it, or those within, again. */
	if (heap->outer)
		heap->outer->inner = NULL;
	ht_heap_set(heap->outer ? heap->outer : &ht_heap_none);
	return false;
}

struct heap *ht_heap_free(void)
{
	struct heap *heap;

	for (;;) {
		heap = ht_heap;
		if (heap == &ht_heap_none)
			return make_heap(NULL);
		if (!was_left(heap))
			return heap->inner ? heap->inner : make_heap(heap);
		if (ht_heap_regain(heap))
			return heap;
	}
}

bool ht_heap_back(void)
{
	struct heap *heap = NULL;

	for (struct heap *each = ht_heap->outer; each; each = each->outer)
		if (!each->taken || was_left(each))
			heap = each;
	if (heap)
		ht_heap_set(heap);
	return heap != NULL;
}

/* Moves an exhausted span to the full list. False: it is not exhausted after all. */
static bool set_full(struct class_spans *spans, struct span *span)
{
	if (!ht_span_freeze(span)) {
		ht_span_collect(span);
		return false;
	}
	span_list_remove(&spans->partial, span);
	span_list_add_last(&spans->full, span);
	span->listed_full = true;
	/* It comes back when a few blocks are free, not at each one. */
	span->trigger = span->capacity - 1 - span->capacity / 32;
	return true;
}

/* A thawed span of the full list is one to allocate from again. */
static void set_partial(struct heap *heap, struct class_spans *spans, struct span *span)
{
	span_list_remove(&spans->full, span);
	span->listed_full = false;
	span->trigger = 0;
	span_list_add_last(&spans->partial, span);
	if (spans->partial.first == span)
		set_current(heap, span->class, span);
}

static void make_first(struct heap *heap, struct class_spans *spans, struct span *span)
{
	struct span *first = spans->partial.first;

	if (first != span) {
		if (first && first->trigger == TRIGGER_NEVER)
			first->trigger = 0;
		span_list_remove(&spans->partial, span);
		span_list_add_first(&spans->partial, span);
	}
	set_current(heap, span->class, span);
}

/* False: the page heap is closed, and it stays. */
static bool drop_husk(struct class_spans *spans, struct span *span)
{
	if (unlikely(!ht_page_heap_lock()))
		return false;
	span_list_remove(&spans->full, span);
	spans->spans--;
	ht_span_struct_free_locked(span);
	ht_page_heap_unlock();
	return true;
}

/* Looks for blocks that other threads freed in the oldest full spans. */
static struct span *look_at_full(struct heap *heap, struct class_spans *spans)
{
	for (unsigned looks = 0; looks < FULL_LOOKS && spans->full.first; looks++) {
		struct span *span = spans->full.first;
		uint64_t word = remote_load(span);

		if (word & REMOTE_DEAD) {
			if (unlikely(!drop_husk(spans, span)))
				break;
			continue;
		}
		if (remote_first(word) && ht_span_thaw(span)) {
			set_partial(heap, spans, span);
			return span;
		}
		span_list_remove(&spans->full, span);
		span_list_add_last(&spans->full, span);
	}
	return NULL;
}

static void release(struct heap *heap, struct class_spans *spans, struct span *span)
{
	span_list_remove(&spans->partial, span);
	spans->spans--;
	if (heap->current[span->class] == span)
		set_current(heap, span->class,
			    spans->partial.first ? spans->partial.first : &ht_span_none);
	ht_span_give(span);
}

static void flush(struct heap *heap)
{
	for (unsigned class = 1; class <= CLASS_COUNT; ++class) {
		struct class_spans *spans = &heap->classes[class];
		struct span *span = spans->partial.first;

		if (span && span->used == 0)
			release(heap, spans, span);
	}
}

static struct span *new_span(struct heap *heap, struct class_spans *spans, unsigned class)
{
	size_t pages = ht_span_pages(class, spans->spans);
	struct span *span = ht_span_small(class, pages, false);

	if (!span && likely(!ht_page_heap_held)) {
		/* Before the system is asked for more: what is kept for later could do. */
		flush(heap);
		span = ht_span_small(class, pages, true);
	}
	if (!span)
		return NULL;
	__atomic_store_n(&span->owner, heap, __ATOMIC_RELAXED);
	__atomic_store_n(&span->fast_owner, span->meta ? NULL : heap, __ATOMIC_RELAXED);
	span->trigger = 0;
	span_list_add_last(&spans->partial, span);
	spans->spans++;
	return span;
}

struct span *ht_heap_find(struct heap *heap, unsigned class)
{
	struct class_spans *spans = &heap->classes[class];
	struct span *span, *next, *room = NULL;

	ht_check_sometimes(heap);
	for (span = spans->partial.first; span; span = next) {
		next = span->next;
		if (!span->free && !ht_span_collect(span)) {
			if (span->carved < span->capacity) {
				room = span;
				continue;
			}
			if (set_full(spans, span))
				continue;
		}
		make_first(heap, spans, span);
		return span;
	}
	if (__atomic_load_n(&several_heaps, __ATOMIC_RELAXED)) {
		span = look_at_full(heap, spans);
		if (span) {
			make_first(heap, spans, span);
			return span;
		}
	}
	for (;;) {
		if (!room)
			room = new_span(heap, spans, class);
		if (!room) {
			set_current(heap, class, &ht_span_none);
			return NULL;
		}
		/* A span that an ended thread left behind may be full: ours now, but no help. */
		if (room->free || ht_span_carve(room) || !set_full(spans, room))
			break;
		room = NULL;
	}
	make_first(heap, spans, room);
	return room;
}

/* Whoever claims a span holds the page heap's lock: with the lock it is decided, and while another
 * thread is in fork as well. */
static bool thaw_now(struct span *span)
{
	bool thawed = ht_span_thaw(span), locked;

	if (unlikely(!thawed)) {
		locked = ht_page_heap_lock();
		thawed = ht_span_thaw(span);
		if (locked)
			ht_page_heap_unlock();
	}
	return thawed;
}

void ht_heap_trigger(struct heap *heap, struct span *span)
{
	struct class_spans *spans = &heap->classes[span->class];

	if (span->listed_full) {
		/* Not all of its blocks can have been freed by others. Only a block freed twice
		 * makes it a husk. */
		if (unlikely(!thaw_now(span))) {
			drop_husk(spans, span);
			return;
		}
		set_partial(heap, spans, span);
	}
	if (span->used > 0)
		return;
	if (span == spans->partial.first &&
	    (span->block_bytes <= KEEP_MOST_BYTES || spans->given_up >= GIVEN_UP_MOST ||
	     ht_page_heap.system_pages >= SMALL_HEAP_PAGES)) {
		span->trigger = TRIGGER_NEVER;
	} else {
		spans->given_up += spans->partial.last == span;
		release(heap, spans, span);
	}
}

void ht_heap_flush(void)
{
	struct heap *heap = ht_heap;

	if (heap->taken || ht_page_heap_held)
		return;
	ht_heap_rearrange(heap);
	flush(heap);
	heap_give(heap);
}

/* One span of a thread that ends. Locked. */
static void abandon_span(struct span *span, struct span_list *list)
{
	unsigned class = span->class;

	span_list_remove(list, span);
	if (span->listed_full && !ht_span_thaw(span)) {
		ht_span_struct_free_locked(span);
		return;
	}
	span->listed_full = false;
	do
		ht_span_collect(span);
	while (span->used > 0 && !ht_span_freeze(span));
	__atomic_store_n(&span->fast_owner, NULL, __ATOMIC_RELAXED);
	__atomic_store_n(&span->owner, NULL, __ATOMIC_RELAXED);
	if (span->used > 0) {
		span_list_add_last(&ht_page_heap.abandoned[class], span);
		ht_page_heap.abandoned_count[class]++;
	} else {
		ht_span_small_give_locked(span, false);
	}
}

/* Heaps of threads that ended. While the page heap is closed they wait for the next thread that begins
 * or ends. */
static struct heap *ended_heaps;

static void abandon_locked(void)
{
	struct heap *heap = __atomic_exchange_n(&ended_heaps, NULL, __ATOMIC_ACQUIRE), *next;

	for (; heap; heap = next) {
		next = heap->next;
		for (unsigned class = 1; class <= CLASS_COUNT; ++class) {
			struct class_spans *spans = &heap->classes[class];

			while (spans->partial.first)
				abandon_span(spans->partial.first, &spans->partial);
			while (spans->full.first)
				abandon_span(spans->full.first, &spans->full);
		}
		heap->next = unused_heaps;
		unused_heaps = heap;
	}
}

static void abandon(struct heap *heap)
{
	if (heap->taken & HEAP_REARRANGED) /* and left like that */
		return;
	heap->next = __atomic_load_n(&ended_heaps, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&ended_heaps, &heap->next, heap, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
	if (likely(ht_page_heap_lock())) {
		abandon_locked();
		ht_page_heap_unlock();
	}
}
