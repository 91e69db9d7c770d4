#include "shim/misuse/guarded.h"

#include <string.h>

#include "shim/alloc/alloc.h"
#include "shim/alloc/page_heap.h"
#include "shim/misuse/foreign.h"
#include "shim/misuse/misuse.h"
#include "shim/record/freed.h"
#include "shim/record/record.h"
#include "shim/stack/capture.h"
#include "shim/sys.h"

#define GUARD_LEAST_BYTES 16
#define POISON_BYTE 0xdd
/* How many frees small blocks stay in quarantine, by their size: 24 MiB at most. */
#define QUARANTINE_BLOCKS 4096
#define QUARANTINE_BYTES 4096
#define QUARANTINE_LARGER_BLOCKS 256
/* Large ones: their pages are given back, only their addresses are kept. */
#define QUARANTINE_LARGE_BLOCKS 64
/* Pages looked at at once. */
#define RESIDENT_PAGES ((size_t)1024)
/* More than this is not told at exit. */
#define TOLD_MOST 20

static struct free_block *quarantine[QUARANTINE_BLOCKS], *larger[QUARANTINE_LARGER_BLOCKS];
static void *large[QUARANTINE_LARGE_BLOCKS];
static uint32_t quarantine_turn, larger_turn, large_turn;

/* Never 0, and not the same everywhere: neither a string's end nor a memset passes for it. */
static uint8_t guard_byte(uintptr_t at)
{
	return (uint8_t)(0xc0 | ((at ^ at >> 5) & 0x1f));
}

static void guard_fill(char *from, const char *to)
{
	for (; from < to; from++)
		*(uint8_t *)from = guard_byte((uintptr_t)from);
}

static size_t padded(size_t size_bytes)
{
	return size_bytes > PTRDIFF_MAX ? size_bytes : size_bytes + GUARD_LEAST_BYTES;
}

static bool has_guard(const struct block_meta *meta)
{
	return meta && __atomic_load_n(&meta->ticks, __ATOMIC_ACQUIRE) & META_GUARDED;
}

static size_t requested_bytes(const struct span *span, const struct block_meta *meta)
{
	return span->class ? meta_size_bytes(meta->site) : span->requested_bytes;
}

/* The block's record, without the bits that are about its guard: as others know it. */
static void guard_off(struct block_meta *meta)
{
	uint64_t ticks = meta->ticks;

	__atomic_store_n(&meta->ticks, ticks & META_UNRECORDED ? 0 : meta_ticks(ticks),
			 __ATOMIC_RELEASE);
}

/* A block was handed out and, if that is wanted, recorded: now it gets its guard. */
static void guard_set(struct span *span, void *block, size_t size_bytes, struct block_meta *meta,
		      uint32_t stack, bool recorded)
{
	uint64_t ticks;

	if (!span->class)
		span->requested_bytes = size_bytes;
	if (!meta)
		return;
	if (recorded && meta->ticks) {
		ticks = meta->ticks | META_GUARDED;
	} else {
		ticks = (ht_clock_ticks() & (META_QUARANTINED - 1)) | META_GUARDED |
			META_UNRECORDED;
		meta->site = meta_site(size_bytes, 0, stack);
	}
	guard_fill((char *)block + size_bytes, (char *)block + span_usable(span));
	__atomic_store_n(&meta->ticks, ticks, __ATOMIC_RELEASE);
}

/* What is known of the block, for a report. */
static struct misuse describe(enum misuse_kind kind, const char *call, const struct span *span,
			      uintptr_t block, const struct block_meta *meta)
{
	struct misuse misuse = { .kind = kind,
				 .call = call,
				 .block = block,
				 .size_bytes = requested_bytes(span, meta),
				 .size_known = true };
	struct freed_block freed;

	if (kind == MISUSE_OVERFLOW && meta_ticks(meta->ticks) > ht_epoch_ticks) {
		misuse.allocated_stack = meta_stack(meta->site);
		misuse.allocated_by = meta_thread(meta->site);
	} else if (kind == MISUSE_WRITTEN && ht_freed_find(block, &freed)) {
		misuse.allocated_stack = (uint32_t)(freed.stacks >> 32);
		misuse.freed_stack = (uint32_t)freed.stacks;
	}
	misuse.is_freed = kind == MISUSE_WRITTEN;
	return misuse;
}

/* What a free block holds at `at`: the pattern, and the mark of a free block as its second word. */
static uint8_t poison_byte(uintptr_t block, uintptr_t at)
{
	size_t offset = at - block - offsetof(struct free_block, mark);
	uintptr_t mark = block_mark((const void *)block);

	return offset < sizeof(mark) ? ((const uint8_t *)&mark)[offset] : POISON_BYTE;
}

/* Finds the first and last byte of [from, to) that is not what it should be: in a free block's
 * poison, or (freed 0) a guard. */
static bool find_damage(uintptr_t from, uintptr_t to, uintptr_t freed, uintptr_t *ret_first,
			uintptr_t *ret_last)
{
	*ret_first = 0;
	for (uintptr_t at = from; at < to; at++) {
		if (*(const uint8_t *)at == (freed ? poison_byte(freed, at) : guard_byte(at)))
			continue;
		if (!*ret_first)
			*ret_first = at;
		*ret_last = at;
	}
	return *ret_first != 0;
}

/* True when the block's guard was written to; *ret then says so. */
static bool guard_broken(const char *call, const struct span *span, uintptr_t block,
			 const struct block_meta *meta, struct misuse *ret)
{
	uintptr_t end = block + requested_bytes(span, meta), first, last;

	if (!find_damage(end, block + span_usable(span), 0, &first, &last))
		return false;
	*ret = describe(MISUSE_OVERFLOW, call, span, block, meta);
	ret->address = first;
	ret->beyond_bytes = last + 1 - end;
	return true;
}

/* Of a large free block, whose pages were given back: what is in memory and not zero was written. */
static bool find_written(uintptr_t from, uintptr_t to, uintptr_t *ret_first, uintptr_t *ret_last)
{
	unsigned char resident[RESIDENT_PAGES];
	size_t pages;

	*ret_first = 0;
	for (; from && from < to; from += pages * PAGE_BYTES) {
		pages = (to - from) / PAGE_BYTES;
		if (pages > RESIDENT_PAGES)
			pages = RESIDENT_PAGES;
		if (!prim_resident(from, pages, resident))
			break;
		for (size_t at = 0; at < pages * PAGE_BYTES; at++) {
			if (!(resident[at / PAGE_BYTES] & 1)) {
				at += PAGE_BYTES - 1;
			} else if (((const uint8_t *)from)[at]) {
				if (!*ret_first)
					*ret_first = from + at;
				*ret_last = from + at;
			}
		}
	}
	return *ret_first != 0;
}

/* The same of a free block's poison; the first words only while it is in quarantine: they become
 * the free list's. */
static bool poison_broken(const char *call, const struct span *span, uintptr_t block,
			  const struct block_meta *meta, struct misuse *ret)
{
	uintptr_t from = meta->ticks & META_QUARANTINED ? block : block + sizeof(struct free_block);
	uintptr_t first, last;

	if (!(span->class ? find_damage(from, block + span_usable(span), block, &first, &last)
			  : find_written(block, block + span->pages * PAGE_BYTES, &first, &last)))
		return false;
	*ret = describe(MISUSE_WRITTEN, call, span, block, meta);
	ret->address = first;
	ret->beyond_bytes = last + 1 - first;
	return true;
}

static void tell(struct misuse *misuse, uint32_t stack)
{
	misuse->stack = stack;
	ht_misuse_tell(misuse);
	ht_misuse_end();
}

/* The link in the first free block may have been written to: better noticed than followed. */
static void check_link(size_t size_bytes)
{
	struct heap *heap = ht_heap;
	struct span *const *place = heap_place(heap, size_bytes);
	const struct free_block *block;
	struct span *span;
	uintptr_t next;

	if (!place || heap->taken)
		return;
	heap_take(heap);
	span = *place;
	block = span->free;
	next = block && block_is_marked(block) ? (uintptr_t)block->next : 0;
	if (next && (next - span->start >= span->carved * span->block_bytes ||
		     (next - span->start) % span->block_bytes != 0))
		ht_list_broken(span);
	heap_give(heap);
}

/* A small block that comes from the free list. */
static void check_poison(struct span *span, void *block, uint32_t stack)
{
	struct block_meta *meta = span_meta_if_any(span, block);
	struct misuse misuse;

	if (!span->class || !meta || !(meta->ticks & META_POISONED))
		return;
	__atomic_store_n(&meta->ticks, 0, __ATOMIC_RELEASE);
	if (poison_broken("malloc", span, (uintptr_t)block, meta, &misuse))
		tell(&misuse, stack);
}

static void leave_large(void *block, uint32_t stack)
{
	struct span *span = block ? span_of(block) : NULL;
	struct block_meta *meta = span ? span_meta_if_any(span, block) : NULL;
	struct misuse misuse;

	if (!meta)
		return;
	if (poison_broken("free", span, (uintptr_t)block, meta, &misuse))
		tell(&misuse, stack);
	__atomic_store_n(&meta->ticks, 0, __ATOMIC_RELEASE);
	block_release(span, block);
}

/* Large blocks keep nothing from others but addresses, which may be limited. True: there were some. */
static bool flush_large(uint32_t stack)
{
	bool any = false;

	for (size_t i = 0; i < QUARANTINE_LARGE_BLOCKS; i++) {
		void *block = __atomic_exchange_n(&large[i], NULL, __ATOMIC_ACQ_REL);

		any |= block != NULL;
		leave_large(block, stack);
	}
	return any;
}

static void *take(unsigned kind, size_t alignment, size_t size_bytes, uint32_t stack,
		  struct span **ret_span)
{
	size_t bytes = padded(size_bytes);
	void *block;

	check_link(bytes);
	if (alignment)
		block = block_take_aligned(alignment, bytes, ret_span);
	else if (kind == EVENT_CALLOC && bytes > SMALL_MAX_BYTES)
		block = block_take_zeroed(bytes, ret_span);
	else
		block = block_take(bytes, ret_span);
	if (!block)
		return flush_large(stack) ? take(kind, alignment, size_bytes, stack, ret_span)
					  : NULL;
	if (unlikely(!span_meta(*ret_span, block))) {
		struct span *span = *ret_span;
		void *other = block_take_alone(bytes, ret_span);

		if (other) {
			block_release(span, block);
			return other;
		}
	}
	check_poison(*ret_span, block, stack);
	if (kind == EVENT_CALLOC && (*ret_span)->class)
		memset(block, 0, size_bytes);
	return block;
}

void *ht_guarded_take(unsigned kind, size_t alignment, size_t size_bytes, uint32_t stack)
{
	bool recorded = ht_recording();
	struct block_meta *meta;
	struct span *span;
	void *block = take(kind, alignment, size_bytes, stack, &span);

	if (!block)
		return NULL;
	meta = span_meta(span, block);
	if (recorded)
		ht_record_alloc(kind, block, size_bytes, span_class(span), span_usable(span), meta,
				stack);
	guard_set(span, block, size_bytes, meta, stack, recorded);
	return block;
}

/* A live block is about to be freed: its guard is looked at and taken off. Returns what was asked
 * for, as far as known. */
static size_t look_and_take_off(const char *call, struct span *span, void *block,
				struct block_meta *meta, uint32_t stack)
{
	struct misuse misuse;

	if (!has_guard(meta))
		return span->class && !(meta && meta->ticks) ? span_usable(span)
							     : requested_bytes(span, meta);
	if (guard_broken(call, span, (uintptr_t)block, meta, &misuse))
		tell(&misuse, stack);
	guard_off(meta);
	return requested_bytes(span, meta);
}

/* Without a lock: a signal handler may come in between. Returns who has to leave, or NULL. */
static struct free_block *enter_quarantine(struct free_block *block, size_t usable_bytes)
{
	struct free_block **place;

	if (usable_bytes <= QUARANTINE_BYTES)
		place = &quarantine[__atomic_fetch_add(&quarantine_turn, 1, __ATOMIC_RELAXED) %
				    QUARANTINE_BLOCKS];
	else
		place = &larger[__atomic_fetch_add(&larger_turn, 1, __ATOMIC_RELAXED) %
				QUARANTINE_LARGER_BLOCKS];
	return __atomic_exchange_n(place, block, __ATOMIC_ACQ_REL);
}

static void leave_quarantine(struct free_block *block, uint32_t stack)
{
	struct span *span = block ? span_behind(span_of(block)) : NULL;
	struct block_meta *meta;
	struct misuse misuse;

	if (!span)
		return;
	meta = span_meta_if_any(span, block);
	if (poison_broken("free", span, (uintptr_t)block, meta, &misuse)) {
		tell(&misuse, stack);
		memset(block, POISON_BYTE, span_usable(span)); /* it was told */
	}
	__atomic_store_n(&meta->ticks, META_POISONED, __ATOMIC_RELEASE);
	block_release(span, block);
}

/* True, and told, when a block that looks live is in quarantine. */
static bool is_freed(struct span *span, void *block, const char *call)
{
	const struct block_meta *meta = span_meta_if_any(span, block);

	if (!meta || !(meta->ticks & META_POISONED))
		return false;
	ht_misuse_of_freed(block, span, call);
	return true;
}

/* Puts the block back, whose end was recorded. */
static void give(struct span *span, void *block, struct block_meta *meta, size_t size_bytes,
		 uint32_t allocated_stack, uint32_t stack, bool guarded)
{
	if (ht_freed)
		ht_freed_add((uintptr_t)block, size_bytes, allocated_stack, stack);
	if (!guarded ||
	    (!span->class && (span->alone || !prim_purge(block, span->pages * PAGE_BYTES)))) {
		block_release(span, block);
		return;
	}
	if (!span->class) {
		uint32_t turn = __atomic_fetch_add(&large_turn, 1, __ATOMIC_RELAXED);

		__atomic_store_n(&meta->ticks, META_POISONED | META_QUARANTINED, __ATOMIC_RELEASE);
		leave_large(__atomic_exchange_n(&large[turn % QUARANTINE_LARGE_BLOCKS], block,
						__ATOMIC_ACQ_REL),
			    stack);
		return;
	}
	memset(block, POISON_BYTE, span_usable(span));
	((struct free_block *)block)->mark = block_mark(block);
	__atomic_store_n(&meta->ticks, META_POISONED | META_QUARANTINED, __ATOMIC_RELEASE);
	leave_quarantine(enter_quarantine(block, span_usable(span)), stack);
}

static uint32_t allocated_at(const struct block_meta *meta)
{
	return meta && meta_ticks(meta->ticks) > ht_epoch_ticks ? meta_stack(meta->site) : 0;
}

static void free_block(const char *call, struct span *span, void *block, uint32_t stack)
{
	struct block_meta *meta = span_meta_if_any(span, block);
	bool guarded = has_guard(meta);
	uint32_t allocated_stack = allocated_at(meta);
	size_t size_bytes = look_and_take_off(call, span, block, meta, stack);

	if (ht_recording())
		ht_record_free(block, span_class(span), size_bytes, span_usable(span), meta, stack);
	else if (meta)
		meta->ticks = 0;
	give(span, block, meta, size_bytes, allocated_stack, stack, guarded);
}

void ht_guarded_free(void *block, uint32_t stack)
{
	struct span *span = block_to_free(block);

	if (span && !is_freed(span, block, "free"))
		free_block("free", span, block, stack);
}

static void record_realloc(void *block, size_t size_bytes, struct span *span,
			   struct block_meta *meta, const struct realloc_old *old, uint32_t stack)
{
	if (!ht_recording())
		return;
	if (block)
		ht_record_realloc(block, size_bytes, span_class(span), span_usable(span), meta, old,
				  stack);
	else
		ht_record_realloc(NULL, size_bytes, 0, 0, NULL, old, stack);
}

static void *realloc_nothing(size_t size_bytes, uint32_t stack, bool *ret_refused)
{
	static const struct realloc_old none;
	bool recorded = ht_recording();
	struct block_meta *meta;
	struct span *span;
	void *block = take(EVENT_REALLOC, 0, size_bytes, stack, &span);

	*ret_refused = !block;
	if (!block) {
		record_realloc(NULL, size_bytes, NULL, NULL, &none, stack);
		return NULL;
	}
	meta = span_meta(span, block);
	record_realloc(block, size_bytes, span, meta, &none, stack);
	guard_set(span, block, size_bytes, meta, stack, recorded);
	return block;
}

size_t ht_guarded_size(struct span *span, void *block)
{
	const struct block_meta *meta = span_meta_if_any(span, block);

	if (is_freed(span, block, "malloc_usable_size"))
		return 0;
	return has_guard(meta) ? requested_bytes(span, meta) : span_usable(span);
}

void *ht_guarded_realloc(void *old_block, size_t size_bytes, uint32_t stack, bool *ret_refused)
{
	struct realloc_old old = { .block = old_block };
	struct block_meta *old_meta, *meta;
	bool guarded, recorded = ht_recording();
	uint32_t allocated_stack;
	struct span *old_span, *span;
	uint64_t ticks;
	size_t copy;
	void *block;

	*ret_refused = false;
	if (!old_block)
		return realloc_nothing(size_bytes, stack, ret_refused);
	old_span = block_to_realloc(old_block);
	if (!old_span)
		return ht_foreign_realloc(old_block, size_bytes);
	if (is_freed(old_span, old_block, "realloc"))
		return NULL;
	if (size_bytes == 0) {
		free_block("realloc", old_span, old_block, stack);
		return NULL;
	}
	old_meta = span_meta_if_any(old_span, old_block);
	guarded = has_guard(old_meta);
	ticks = old_meta ? old_meta->ticks : 0;
	allocated_stack = allocated_at(old_meta);
	old.size_bytes = look_and_take_off("realloc", old_span, old_block, old_meta, stack);
	old.usable_bytes = span_usable(old_span);
	copy = guarded ? old.size_bytes : old.usable_bytes;
	if (old_meta)
		old.meta = *old_meta;
	if (guarded && block_resize(old_span, old_block, padded(size_bytes))) {
		record_realloc(old_block, size_bytes, old_span, old_meta, &old, stack);
		guard_set(old_span, old_block, size_bytes, old_meta, stack, recorded);
		block_trim(old_span);
		return old_block;
	}
	block = take(EVENT_REALLOC, 0, size_bytes, stack, &span);
	if (!block) {
		record_realloc(NULL, size_bytes, NULL, NULL, &old, stack);
		if (guarded) /* it goes on living as it was */
			__atomic_store_n(&old_meta->ticks, ticks, __ATOMIC_RELEASE);
		*ret_refused = true;
		return NULL;
	}
	block_copy(span, block, old_span, old_block, copy < size_bytes ? copy : size_bytes);
	if (old_meta)
		old_meta->ticks = 0;
	meta = span_meta(span, block);
	record_realloc(block, size_bytes, span, meta, &old, stack);
	guard_set(span, block, size_bytes, meta, stack, recorded);
	give(old_span, old_block, old_meta, old.size_bytes, allocated_stack, stack, guarded);
	return block;
}

/* Other threads may go on while the process ends: what is found counts when the block's record is
 * the same afterwards as before. */
static bool check_block(const struct span *span, uint32_t index, struct misuse *ret)
{
	const struct block_meta *meta = &span->meta[index];
	struct block_meta before = *meta;
	uintptr_t block = span->start + index * span->block_bytes;
	bool broken;

	if (has_guard(&before))
		broken = guard_broken("exit", span, block, &before, ret);
	else if (before.ticks & META_POISONED)
		broken = poison_broken("exit", span, block, &before, ret);
	else
		return false;
	return broken && __atomic_load_n(&meta->ticks, __ATOMIC_ACQUIRE) == before.ticks &&
	       meta->site == before.site;
}

struct findings {
	struct misuse misuses[TOLD_MOST];
	unsigned count;
};

static bool check_span(struct span *span, void *context)
{
	struct findings *findings = context;

	if (!span->meta ||
	    (span->state != SPAN_SMALL && span->state != SPAN_LARGE && span->state != SPAN_HUGE))
		return true;
	for (uint32_t i = 0; i < span->carved && findings->count < TOLD_MOST; i++)
		findings->count += check_block(span, i, &findings->misuses[findings->count]);
	return findings->count < TOLD_MOST;
}

void ht_guard_check_all(void)
{
	static struct findings findings;
	uint64_t signals;

	if (!ht_guard_on)
		return;
	/* While pages are looked at they must not go away; and nobody who would like some may be
	 * called meanwhile. */
	sys_signals_block(&signals);
	findings.count = 0;
	/* Closed: exit in a signal handler, or after a jump out of one, that interrupted the page heap. */
	if (ht_page_heap_lock_patiently()) {
		ht_alloc_walk(check_span, &findings);
		ht_page_heap_unlock();
	}
	sys_signals_restore(&signals);
	for (unsigned i = 0; i < findings.count; i++)
		ht_misuse_tell(&findings.misuses[i]);
	if (findings.count)
		ht_misuse_end();
}

void ht_guard_start(void)
{
	ht_freed_init();
	ht_quick_malloc = false;
	ht_quick_free = false;
	ht_guard_on = true;
	ht_control_set(ht_control);
}
