/*
 * What is added up as events pass: per process, per stack, per size. Nothing here is ever
 * recounted; at a process's end the numbers are final.
 *
 * What was live at the peak, per stack, costs O(1) an event: every new maximum of the process
 * begins a new `epoch`. A stack whose live numbers are about to change and whose epoch is old
 * first saves them as those of the peak. A stack that has not changed since the last maximum has
 * them in its live numbers still.
 *
 * While recording is off, blocks come and go unseen. When it is switched on (a `resume` event), all
 * that was live is written off, and each block that is listed then is written up: `listed` is what
 * was written up less what was written off, so that
 *
 *   live == allocations - frees + listed
 */
#ifndef HEAPTAPE_DAEMON_TOTALS_H
#define HEAPTAPE_DAEMON_TOTALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stack_total {
	uint64_t allocations, allocated_bytes;
	uint64_t frees, freed_bytes;
	uint64_t temporary;
	uint64_t listed_blocks, listed_bytes; /* wraps below 0 */
	uint64_t peak_blocks, peak_bytes;     /* live at the maximum that began `epoch` */
	uint64_t epoch;
	uint32_t stack_id;
	bool dirty;	   /* changed since it was written */
	bool peak_differs; /* written with a peak other than what was live */
};

struct size_total {
	uint64_t allocations, allocated_bytes;
	uint64_t frees, freed_bytes;
	uint64_t listed_blocks, listed_bytes;
	bool listed; /* ever: what was listed may have been written off again */
};

/* Sizes 0 .. 1024 one by one, then eighths of powers of two up to 2^64. */
#define SIZE_EXACT 1024u
#define SIZE_BUCKETS (SIZE_EXACT + 1 + 54 * 8)

struct totals {
	uint64_t events;
	uint64_t allocations, allocated_bytes;
	uint64_t frees, freed_bytes;
	uint64_t listed_blocks, listed_bytes;
	uint64_t reallocations, failed, temporary, preexisting_frees;
	uint64_t peak_blocks, peak_bytes, peak_ns;
	uint64_t held_bytes, peak_held_bytes;
	uint64_t late_events;
	uint64_t epoch;

	struct stack_total *stacks; /* [0] is "no stack" */
	uint32_t stack_count, stack_capacity;
	uint32_t *index; /* hash of stack ids to places in `stacks`, 0 empty */
	uint32_t index_size;

	struct size_total *sizes;
	bool dirty; /* anything changed since it was written */
};

int totals_init(struct totals *totals);
void totals_release(struct totals *totals);

/* The place of a stack's totals, made when it is new; 0 ("no stack") when memory is short. */
uint32_t totals_stack(struct totals *totals, uint32_t stack_id);

static inline unsigned size_bucket(uint64_t size_bytes)
{
	uint64_t below = size_bytes - 1;
	unsigned exponent;

	if (size_bytes <= SIZE_EXACT)
		return (unsigned)size_bytes;
	exponent = 63u - (unsigned)__builtin_clzll(below);
	return SIZE_EXACT + 1 + (exponent - 10) * 8 + ((below >> (exponent - 3)) & 7);
}

/* The largest size a bucket holds. */
uint64_t size_bucket_limit(unsigned bucket);

/* Of a stack, a size or all: what is live now. */
#define totals_live_blocks(total) ((total)->allocations - (total)->frees + (total)->listed_blocks)
#define totals_live_bytes(total) \
	((total)->allocated_bytes - (total)->freed_bytes + (total)->listed_bytes)

/* Stacks from this id on are no more: what they add up to is "no stack"'s from now on. */
void totals_forget_stacks(struct totals *totals, int64_t first_stack_id);

/* Writes off everything that is live. */
void totals_write_off(struct totals *totals);

static inline void stack_total_touch(struct totals *totals, struct stack_total *total)
{
	if (total->epoch != totals->epoch) {
		total->peak_blocks = totals_live_blocks(total);
		total->peak_bytes = totals_live_bytes(total);
		total->epoch = totals->epoch;
	}
	total->dirty = true;
}

static inline void totals_allocation(struct totals *totals, uint32_t place, uint64_t size_bytes)
{
	struct stack_total *total = &totals->stacks[place];
	struct size_total *size = &totals->sizes[size_bucket(size_bytes)];

	stack_total_touch(totals, total);
	total->allocations++;
	total->allocated_bytes += size_bytes;
	size->allocations++;
	size->allocated_bytes += size_bytes;
	totals->allocations++;
	totals->allocated_bytes += size_bytes;
}

static inline void totals_free(struct totals *totals, uint32_t place, uint64_t size_bytes,
			       bool temporary)
{
	struct stack_total *total = &totals->stacks[place];
	struct size_total *size = &totals->sizes[size_bucket(size_bytes)];

	stack_total_touch(totals, total);
	total->frees++;
	total->freed_bytes += size_bytes;
	total->temporary += temporary;
	size->frees++;
	size->freed_bytes += size_bytes;
	totals->frees++;
	totals->freed_bytes += size_bytes;
	totals->temporary += temporary;
}

/* A block was live when recording was switched on. */
static inline void totals_listed(struct totals *totals, uint32_t place, uint64_t size_bytes)
{
	struct stack_total *total = &totals->stacks[place];
	struct size_total *size = &totals->sizes[size_bucket(size_bytes)];

	stack_total_touch(totals, total);
	total->listed_blocks++;
	total->listed_bytes += size_bytes;
	size->listed = true;
	size->listed_blocks++;
	size->listed_bytes += size_bytes;
	totals->listed_blocks++;
	totals->listed_bytes += size_bytes;
}

/* After each event that allocated or listed. Signed, so that a program's nonsense is not a peak. */
static inline void totals_peak(struct totals *totals, uint64_t at_ns)
{
	uint64_t live_bytes = totals_live_bytes(totals);

	if ((int64_t)live_bytes > (int64_t)totals->peak_bytes) {
		totals->peak_bytes = live_bytes;
		totals->peak_blocks = totals_live_blocks(totals);
		totals->peak_ns = at_ns;
		totals->epoch++;
	}
}

static inline void totals_held(struct totals *totals, uint64_t change_bytes)
{
	totals->held_bytes += change_bytes;
	if ((int64_t)totals->held_bytes > (int64_t)totals->peak_held_bytes)
		totals->peak_held_bytes = totals->held_bytes;
}

/* What of a stack was live at the process's peak, as known now. */
static inline void stack_total_peak(const struct totals *totals, const struct stack_total *total,
				    uint64_t *ret_blocks, uint64_t *ret_bytes)
{
	bool saved = total->epoch == totals->epoch;

	*ret_blocks = saved ? total->peak_blocks : totals_live_blocks(total);
	*ret_bytes = saved ? total->peak_bytes : totals_live_bytes(total);
}

#endif
