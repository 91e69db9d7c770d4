#include "shim/misuse.h"

#include <stdlib.h>
#include <string.h>

#include "shim/alloc.h"
#include "shim/prim.h"
#include "shim/span.h"

uint64_t ht_misuses;

/* A message, put together without stdio. */
struct text {
	char bytes[400];
	size_t length;
};

static void put(struct text *text, const char *more)
{
	size_t length = strlen(more), room = sizeof(text->bytes) - text->length;

	if (length > room)
		length = room;
	memcpy(text->bytes + text->length, more, length);
	text->length += length;
}

static void put_number(struct text *text, uint64_t value, unsigned base)
{
	char digits[24], *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do
		*--at = "0123456789abcdef"[value % base];
	while ((value /= base) > 0);
	if (base == 16)
		put(text, "0x");
	put(text, at);
}

/* What is known of the block at `index`: how large, who allocated it. */
static void put_history(struct text *text, const struct span *span, uint32_t index)
{
	const struct block_meta *meta = span->meta ? &span->meta[index] : NULL;

	put(text, "a block of ");
	put_number(text, span->block_bytes, 10);
	put(text, " bytes at ");
	put_number(text, span->start + index * span->block_bytes, 16);
	/* `site` stays after a free, until the block's next life. */
	if (meta && meta->site) {
		if (span->class) {
			put(text, ", requested as ");
			put_number(text, meta_size_bytes(meta->site), 10);
		}
		put(text, ", allocated by thread ");
		put_number(text, meta_thread(meta->site), 10);
		if (meta_stack(meta->site)) {
			put(text, " at stack ");
			put_number(text, meta_stack(meta->site), 10);
		}
	}
}

static void put_what(struct text *text, const void *p, const struct span *span)
{
	uint32_t index;

	if (!span || span->state == SPAN_HUSK) {
		put(text, "not a block of this heap (or its pages were given back since)");
		return;
	}
	if (span->state == SPAN_FREE) {
		put(text, "already freed: it lies in free pages");
		return;
	}
	if (span->state == SPAN_META) {
		put(text, "not a block: the allocator's own records");
		return;
	}
	index = span->class ? block_index(span, p) : 0;
	if (index >= span->carved) {
		put(text, "not a block: never handed out by malloc");
		return;
	}
	if ((uintptr_t)p == span->start + index * span->block_bytes) {
		put(text, "already freed, ");
	} else {
		put_number(text, (uintptr_t)p - span->start - index * span->block_bytes, 10);
		put(text, " bytes inside ");
	}
	put_history(text, span, index);
}

static void finish(struct text *text)
{
	const char *on_error = getenv("HEAPTAPE_ON_ERROR");

	put(text, "\n");
	prim_complain(text->bytes, text->length);
	if (!on_error || strcmp(on_error, "continue") != 0)
		abort();
	__atomic_fetch_add(&ht_misuses, 1, __ATOMIC_RELAXED);
}

static void report(const void *p, const struct span *span, const char *what)
{
	struct text text = {.length = 0};

	put(&text, "heaptape: ");
	put(&text, what);
	put(&text, "(");
	put_number(&text, (uintptr_t)p, 16);
	put(&text, "): ");
	put_what(&text, p, span);
	finish(&text);
}

/* True when the marked block is really on one of the span's lists. Only the owner may walk the free
 * list; elsewhere the mark is taken at its word: malloc clears it. */
static bool is_listed(struct span *span, const void *p)
{
	const struct free_block *block;

	if (span->owner != ht_heap)
		return true;
	for (block = span->free; block; block = block->next)
		if (block == p)
			return true;
	for (block = remote_first(remote_load(span)); block; block = block->next)
		if (block == p)
			return true;
	return false;
}

struct span *ht_block_checked(void *p, const char *what)
{
	struct span *span = span_of(p);

	if (!p)
		return NULL;
	if (span && (span->state == SPAN_LARGE || span->state == SPAN_HUGE)) {
		if ((uintptr_t)p == span->start)
			return span;
	} else if (span && span->state == SPAN_SMALL) {
		uintptr_t offset = (uintptr_t)p - span->start;

		if (offset * span->reciprocal < span->reciprocal &&
		    block_index(span, p) < span->carved && !is_listed(span, p))
			return span;
	}
	report(p, span, what);
	return NULL;
}

/*
 * The first block of the span's free list does not look free: it was freed twice and is in use by
 * now, or written to after it was freed. Going on, the rest of the list is left alone for good.
 */
void ht_list_broken(struct span *span)
{
	struct text text = {.length = 0};
	uintptr_t offset = (uintptr_t)span->free - span->start;

	put(&text, "heaptape: malloc: freed twice, or written to after it was freed: ");
	if (offset < span->carved * span->block_bytes)
		put_history(&text, span, block_index(span, span->free));
	else
		put(&text, "the list of free blocks is broken");
	finish(&text);
	span->free = NULL;
	span->used = span->carved;
}
