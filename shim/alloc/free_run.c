#include "shim/alloc/free_run.h"

#include "shim/alloc/page_map.h"

unsigned ht_run_bin(size_t pages)
{
	unsigned shift, bin;

	if (pages <= PAGE_BIN_EXACT)
		return (unsigned)pages - 1;
	shift = 63 - (unsigned)__builtin_clzl(pages); /* >= 5 */
	bin = PAGE_BIN_EXACT + (shift - 5) * 4 + (unsigned)(pages >> (shift - 2) & 3);
	return bin < PAGE_BIN_COUNT ? bin : PAGE_BIN_COUNT - 1;
}

void ht_run_bin_add(struct span *run)
{
	unsigned bin = ht_run_bin(run->pages);
	struct span **first = &ht_page_heap.bins[bin];

	run->prev = NULL;
	run->next = *first;
	if (*first)
		(*first)->prev = run;
	*first = run;
	ht_page_heap.bins_used[bin / 64] |= 1ull << bin % 64;
	ht_page_heap.free_pages += run->pages;
	ht_page_heap.free_dirty_pages += run_dirty(run);
}

void ht_run_bin_remove(struct span *run)
{
	unsigned bin = ht_run_bin(run->pages);

	if (run->next)
		run->next->prev = run->prev;
	if (run->prev)
		run->prev->next = run->next;
	else
		ht_page_heap.bins[bin] = run->next;
	if (!ht_page_heap.bins[bin])
		ht_page_heap.bins_used[bin / 64] &= ~(1ull << bin % 64);
	ht_page_heap.free_pages -= run->pages;
	ht_page_heap.free_dirty_pages -= run_dirty(run);
}

/* The first bin at or above `bin` that has a run; PAGE_BIN_COUNT: none. */
static unsigned bin_from(unsigned bin)
{
	for (unsigned word = bin / 64; word < PAGE_BIN_COUNT / 64; word++) {
		uint64_t bits = ht_page_heap.bins_used[word];

		if (word == bin / 64)
			bits &= ~0ull << bin % 64;
		if (bits)
			return word * 64 + (unsigned)__builtin_ctzll(bits);
	}
	return PAGE_BIN_COUNT;
}

static struct span *best_of_bin(unsigned bin, size_t pages)
{
	struct span *best = NULL;
	unsigned looks = 0;

	for (struct span *run = ht_page_heap.bins[bin]; run; run = run->next) {
		if (run->pages >= pages && (!best || run->pages < best->pages))
			best = run;
		if (best && ++looks >= 16)
			break;
	}
	return best;
}

struct span *ht_run_find(size_t pages)
{
	unsigned bin = ht_run_bin(pages);
	struct span *run = best_of_bin(bin, pages);

	if (run)
		return run;
	bin = bin_from(bin + 1);
	return bin < PAGE_BIN_COUNT ? best_of_bin(bin, pages) : NULL;
}

/* Enters a free run: of its pages, the map knows the first and the last. */
void ht_run_enter(struct span *run)
{
	uintptr_t last = run->start + (run->pages - 1) * PAGE_BYTES;

	run->state = SPAN_FREE;
	run->reciprocal = 0;
	run->fast_owner = NULL;
	run->owner = NULL;
	run->class = 0;
	ht_page_map_set(run->start, 1, run);
	ht_page_map_set(last, 1, run);
	ht_run_bin_add(run);
}

void ht_run_leave(struct span *run)
{
	ht_run_bin_remove(run);
	ht_page_map_set(run->start, 1, NULL);
	ht_page_map_set(run->start + (run->pages - 1) * PAGE_BYTES, 1, NULL);
}

struct span *ht_run_at(uintptr_t address, bool from_break)
{
	struct span *run = span_of((void *)address);

	return run && run->state == SPAN_FREE && run->from_break == from_break ? run : NULL;
}

/* The run becomes longer by the one behind it, which is in no bin any more. */
static void run_append(struct span *run, struct span *more)
{
	if (run_dirty(more)) {
		if (!run_dirty(run))
			run->dirty_from = run->pages + more->dirty_from;
		run->zero_from = run->pages + more->zero_from;
	}
	run->pages += more->pages;
	ht_span_struct_free_locked(more);
}

struct span *ht_run_join(struct span *run)
{
	uintptr_t end = run->start + run->pages * PAGE_BYTES;
	struct span *left = ht_run_at(run->start - PAGE_BYTES, run->from_break);
	struct span *right = ht_run_at(end, run->from_break);

	if (left) {
		ht_run_leave(left);
		run_append(left, run);
		run = left;
	}
	if (right) {
		ht_run_leave(right);
		run_append(run, right);
	}
	ht_run_enter(run);
	return run;
}
