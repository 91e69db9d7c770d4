/*
 * Looking at the heap, and advice to it: malloc_trim, mallopt and glibc's four ways to ask what the
 * heap holds. The answers come from a census of all spans, so that asking is what costs, not malloc.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>

#include "shim/alloc/alloc.h"
#include "shim/alloc/check.h"
#include "shim/alloc/heap.h"
#include "shim/alloc/page_heap.h"
#include "shim/alloc/span.h"
#include "shim/api/malloc.h"
#include "shim/libc.h"

/* Other threads go on meanwhile: what they take and free right now may be counted or not. */
struct census {
	size_t arena_bytes; /* all of the heap's pages but those of huge blocks and of records */
	size_t used_bytes;  /* blocks in it that the program holds */
	size_t huge_blocks;
	size_t huge_bytes;
	size_t most_huge_blocks; /* the most there ever were */
	size_t most_huge_bytes;
	size_t free_runs;
	size_t top_bytes;   /* the free run before the break */
	size_t most_bytes;  /* the most that was ever held, huge blocks included */
	size_t free_blocks; /* small ones that malloc has at hand; by class: */
	size_t class_free[CLASS_COUNT + 1];
};

static void count_small(struct census *census, const struct span *span)
{
	uint32_t used = __atomic_load_n(&span->used, __ATOMIC_RELAXED);
	uint32_t freed_by_others = remote_count(remote_load(span));
	uint32_t carved = __atomic_load_n(&span->carved, __ATOMIC_RELAXED);

	used = used > freed_by_others ? used - freed_by_others : 0;
	census->used_bytes += used * span->block_bytes;
	if (carved > used) {
		census->free_blocks += carved - used;
		census->class_free[span->class] += carved - used;
	}
}

static bool count_span(struct span *span, void *context)
{
	struct census *census = context;
	size_t bytes = span->pages * PAGE_BYTES;

	switch ((enum span_state)span->state) {
	case SPAN_SMALL:
		count_small(census, span);
		break;
	case SPAN_LARGE:
		census->used_bytes += bytes;
		break;
	case SPAN_HUGE:
		census->huge_blocks++;
		census->huge_bytes += bytes;
		return true;
	case SPAN_FREE:
		census->free_runs++;
		if (span->from_break && span->start + bytes == ht_page_heap.break_end)
			census->top_bytes = bytes;
		break;
	case SPAN_META:
	case SPAN_HUSK:
	case SPAN_STAND_IN:
		return true;
	}
	census->arena_bytes += bytes;
	return true;
}

static void take_census(struct census *census)
{
	*census = (struct census){ 0 };
	if (unlikely(!ht_page_heap_lock()))
		return;
	ht_page_map_walk(count_span, census);
	census->most_bytes = ht_page_heap.most_pages * PAGE_BYTES;
	census->most_huge_blocks = ht_page_heap.most_huge_blocks;
	census->most_huge_bytes = ht_page_heap.most_huge_bytes;
	ht_page_heap_unlock();
}

HT_EXPORT int HT_API(malloc_trim)(size_t pad)
{
	size_t given;

	ht_heap_flush();
	if (unlikely(!ht_page_heap_lock()))
		return 0;
	given = ht_pages_purge_locked(pad / PAGE_BYTES);
	ht_page_heap_unlock();
	if (HT_DEBUG)
		ht_check_page_heap();
	return given > 0;
}

/* glibc's limit of M_MXFAST. */
#define MXFAST_MOST (80 * (int)sizeof(size_t) / 4)

/* None of glibc's knobs has a counterpart here: what it would accept is accepted. */
HT_EXPORT int HT_API(mallopt)(int option, int value)
{
	return option != M_MXFAST || (value >= 0 && value <= MXFAST_MOST);
}

HT_EXPORT struct mallinfo2 HT_API(mallinfo2)(void)
{
	struct census census;

	take_census(&census);
	return (struct mallinfo2){
		.arena = census.arena_bytes,
		.ordblks = census.free_runs + census.free_blocks,
		.hblks = census.huge_blocks,
		.hblkhd = census.huge_bytes,
		.uordblks = census.used_bytes,
		.fordblks = census.arena_bytes - census.used_bytes,
		.keepcost = census.top_bytes,
	};
}

HT_EXPORT struct mallinfo HT_API(mallinfo)(void)
{
	struct mallinfo2 wide = HT_API(mallinfo2)();

	return (struct mallinfo){
		.arena = (int)wide.arena,
		.ordblks = (int)wide.ordblks,
		.hblks = (int)wide.hblks,
		.hblkhd = (int)wide.hblkhd,
		.uordblks = (int)wide.uordblks,
		.fordblks = (int)wide.fordblks,
		.keepcost = (int)wide.keepcost,
	};
}

/* glibc's lines; there is one arena for all threads. */
HT_EXPORT void HT_API(malloc_stats)(void)
{
	struct census census;

	take_census(&census);
	ht_libc()->fprintf(stderr,
			   "Arena 0:\n"
			   "system bytes     = %10zu\n"
			   "in use bytes     = %10zu\n"
			   "Total (incl. mmap):\n"
			   "system bytes     = %10zu\n"
			   "in use bytes     = %10zu\n"
			   "max mmap regions = %10zu\n"
			   "max mmap bytes   = %10zu\n",
			   census.arena_bytes, census.used_bytes,
			   census.arena_bytes + census.huge_bytes,
			   census.used_bytes + census.huge_bytes, census.most_huge_blocks,
			   census.most_huge_bytes);
}

static void print_sizes(FILE *stream, const struct census *census)
{
	ht_libc()->fputs("<sizes>\n", stream);
	for (unsigned class = 1; class <= CLASS_COUNT; ++class) {
		size_t count = census->class_free[class], to = size_class_bytes(class);

		if (count)
			ht_libc()->fprintf(
				stream,
				"  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n",
				class > 1 ? size_class_bytes(class - 1) + 1 : 1, to, count * to,
				count);
	}
	ht_libc()->fputs("</sizes>\n", stream);
}

/* glibc's elements, for the one arena and then for everything. */
HT_EXPORT int HT_API(malloc_info)(int options, FILE *stream)
{
	struct census census;

	if (options != 0)
		return EINVAL;
	take_census(&census);
	ht_libc()->fputs("<malloc version=\"1\">\n<heap nr=\"0\">\n", stream);
	print_sizes(stream, &census);
	for (int whole = 0; whole <= 1; whole++) {
		ht_libc()->fprintf(stream,
				   "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
				   "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n",
				   census.free_runs + census.free_blocks,
				   census.arena_bytes - census.used_bytes);
		if (whole)
			ht_libc()->fprintf(stream,
					   "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n",
					   census.huge_blocks, census.huge_bytes);
		ht_libc()->fprintf(stream,
				   "<system type=\"current\" size=\"%zu\"/>\n"
				   "<system type=\"max\" size=\"%zu\"/>\n"
				   "<aspace type=\"total\" size=\"%zu\"/>\n"
				   "<aspace type=\"mprotect\" size=\"%zu\"/>\n",
				   census.arena_bytes, census.most_bytes, census.arena_bytes,
				   census.arena_bytes);
		if (!whole)
			ht_libc()->fputs("</heap>\n", stream);
	}
	ht_libc()->fputs("</malloc>\n", stream);
	return 0;
}

#if !(defined(HT_UNIT_TEST) && HT_UNIT_TEST)
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
API_TWIN(__libc_mallopt, mallopt)
API_TWIN(__libc_mallinfo, mallinfo)
#endif
