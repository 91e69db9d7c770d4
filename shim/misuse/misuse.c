#include "shim/misuse/misuse.h"
#include "shim/record/record.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/alloc/alloc.h"
#include "shim/alloc/altered.h"
#include "shim/alloc/span.h"
#include "shim/libc.h"
#include "shim/link.h"
#include "shim/misuse/foreign.h"
#include "shim/record/freed.h"
#include "shim/record/lifecycle.h"
#include "shim/settings.h"
#include "shim/stack/capture.h"

/* A stopped daemon must not keep a program from ending for long. */
#define END_WAIT_MS 2000

uint64_t ht_misuses;

/* Now, not only when the program was started. */
static bool is_set(const char *line)
{
	for (char **each = environ; each && *each; each++)
		if (strcmp(*each, line) == 0)
			return true;
	return false;
}

void ht_misuse_end(void)
{
	if (ht_settings.go_on || is_set("HEAPTAPE_ON_ERROR=continue")) {
		__atomic_fetch_add(&ht_misuses, 1, __ATOMIC_RELAXED);
		return;
	}
	ht_link_drain(END_WAIT_MS);
	ht_libc()->abort();
}

/* What is known of the block at `index`. Its record stays after a free, until its next life; but in
 * a forked child nothing says whose numbers the stack has then. */
static void look_at_block(struct misuse *misuse, const struct span *span, uint32_t index,
			  bool is_freed)
{
	const struct block_meta *meta = span->meta ? &span->meta[index] : NULL;
	struct freed_block freed;

	misuse->block = span->start + index * span->block_bytes;
	misuse->size_bytes = span->class ? span->block_bytes : span->requested_bytes;
	misuse->size_known = !span->class;
	misuse->is_freed = is_freed;
	if (is_freed && ht_freed_find(misuse->block, &freed)) {
		misuse->size_bytes = freed.size_bytes;
		misuse->size_known = true;
		misuse->allocated_stack = (uint32_t)(freed.stacks >> 32);
		misuse->freed_stack = (uint32_t)freed.stacks;
	}
	if (!meta || !meta->site)
		return;
	if (span->class && !misuse->size_known) {
		misuse->size_bytes = meta_size_bytes(meta->site);
		misuse->size_known = true;
	}
	if (is_freed ? ht_epoch_ticks != 0 : meta_ticks(meta->ticks) <= ht_epoch_ticks)
		return;
	misuse->allocated_by = meta_thread(meta->site);
	if (!misuse->allocated_stack)
		misuse->allocated_stack = meta_stack(meta->site);
}

/* A block whose span is gone since. */
static bool look_at_freed(struct misuse *misuse, uintptr_t address)
{
	struct freed_block freed;

	if (!ht_freed_find(address, &freed))
		return false;
	misuse->block = address;
	misuse->size_bytes = freed.size_bytes;
	misuse->size_known = true;
	misuse->allocated_stack = (uint32_t)(freed.stacks >> 32);
	misuse->freed_stack = (uint32_t)freed.stacks;
	misuse->is_freed = true;
	return true;
}

/* Finds out what is wrong with a pointer that block_to_free() did not like. */
static void judge(struct misuse *misuse, const void *p, const struct span *span)
{
	bool is_free = strcmp(misuse->call, "free") == 0;
	uint32_t index;

	misuse->kind = MISUSE_FOREIGN;
	if (!span || span->state == SPAN_HUSK || span->state == SPAN_FREE) {
		bool was_ours = look_at_freed(misuse, misuse->address);

		if (was_ours || (span && span->state == SPAN_FREE)) {
			misuse->is_freed = true;
			misuse->kind = is_free ? MISUSE_DOUBLE_FREE : MISUSE_FREED;
		}
		return;
	}
	if (span->state == SPAN_META)
		return;
	index = span->class ? block_index(span, p) : 0;
	if (index >= span->carved)
		return;
	if (misuse->address != span->start + index * span->block_bytes) {
		misuse->kind = MISUSE_INTERIOR;
		look_at_block(misuse, span, index, !ht_block_is_live(span, index));
		return;
	}
	misuse->kind = is_free ? MISUSE_DOUBLE_FREE : MISUSE_FREED;
	look_at_block(misuse, span, index, true);
}

static __attribute__((noinline)) void report(const void *p, const struct span *span,
					     const char *call)
{
	struct misuse misuse = { .call = call, .address = (uintptr_t)p };

	ht_stacks_alone();
	misuse.stack = ht_stacks_on ? HT_STACK_OF_CALLER() : 0;
	judge(&misuse, p, span);
	ht_misuse_tell(&misuse);
	ht_misuse_end();
}

void ht_misuse_of_freed(const void *block, const struct span *span, const char *call)
{
	report(block, span, call);
}

/* True when the marked block is really on one of the span's lists. Only the owner may walk the free
 * list; elsewhere the mark is taken at its word: malloc clears it. */
static bool is_listed(struct span *span, const void *p)
{
	const struct free_block *block;

	if (!span_is_own(span))
		return true;
	for (block = span->free; block; block = block->next)
		if (block == p)
			return true;
	for (block = remote_first(remote_load(span)); block; block = block->next)
		if (block == p)
			return true;
	return false;
}

/* What a block must be made fit for whose pages the program has altered. */
static enum settle_for purpose_of(const char *call)
{
	if (!strcmp(call, "free"))
		return SETTLE_EMPTY;
	return strcmp(call, "realloc") ? SETTLE_NOT : SETTLE_KEEP;
}

struct span *ht_block_checked(void *p, const char *what)
{
	struct span *span = span_of(p);

	if (!p)
		return NULL;
	if (span && unlikely(span->state == SPAN_STAND_IN)) {
		struct span *behind = span_behind(span);

		span = ht_altered_settle(p, purpose_of(what));
		if (!span && purpose_of(what) == SETTLE_EMPTY && block_is_start(behind, p)) {
			ht_watch_lost(behind, p);
			ht_altered_lose(p);
		}
		if (!span || block_is_start(span, p))
			return span;
	}
	if (span && (span->state == SPAN_LARGE || span->state == SPAN_HUGE)) {
		if ((uintptr_t)p == span->start)
			return span;
	} else if (span && span->state == SPAN_SMALL) {
		uintptr_t offset = (uintptr_t)p - span->start;

		if (offset * span->reciprocal < span->reciprocal &&
		    block_index(span, p) < span->carved && !is_listed(span, p))
			return span;
	}
	if (!span && ht_foreign_owns(p)) {
		if (!strcmp(what, "free"))
			ht_foreign_free(p);
		return NULL;
	}
	report(p, span, what);
	return NULL;
}

/*
 * The first block of the span's free list does not look free: it was freed twice and is in use by
 * now, or written to after it was freed. Going on, the rest of the list is left alone for good.
 */
__attribute__((noinline)) void ht_list_broken(struct span *span)
{
	struct misuse misuse = { .kind = MISUSE_WRITTEN,
				 .call = "malloc",
				 .address = (uintptr_t)span->free };

	ht_stacks_alone();
	misuse.stack = ht_stacks_on ? HT_STACK_OF_CALLER() : 0;
	if (misuse.address - span->start < span->carved * span->block_bytes)
		look_at_block(&misuse, span, block_index(span, span->free), true);
	ht_misuse_tell(&misuse);
	ht_misuse_end();
	span->free = NULL;
	span->used = span->carved;
}
