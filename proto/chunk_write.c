/* Adding events to a chunk; the format is described in proto/chunk.h. */
#include "proto/chunk.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/chunk_writer.h"

static inline uint32_t hash_of(uint64_t key)
{
	return (uint32_t)((key * 0x9e3779b97f4a7c15ull) >> 32);
}

static inline void put_varint(uint8_t **at, uint64_t value)
{
	uint8_t *p = *at;

	while (value > 0x7f) {
		*p++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*p++ = (uint8_t)value;
	*at = p;
}

#define PUT(NAME, value) put_varint(&writer->at[CHUNK_##NAME##_STREAM], (value))
#define PUT_BYTE(NAME, value) (*writer->at[CHUNK_##NAME##_STREAM]++ = (uint8_t)(value))

/* The block allocated at an address in this chunk, taken out of its chain; NULL: none is known. */
static inline struct block *block_take(struct chunk_writer *writer, uint64_t address)
{
	uint16_t *link = &writer->block_slots.slot[hash_of(address) & writer->block_slots.mask];

	for (unsigned steps = 0; *link && steps < CHAIN_MOST; steps++) {
		struct block *block = &writer->blocks[*link - 1];

		if (block->address == address) {
			*link = block->next;
			return block;
		}
		link = &block->next;
	}
	return NULL;
}

static inline void block_put(struct chunk_writer *writer, const struct event_row *row,
			     uint32_t class)
{
	uint16_t *head =
		&writer->block_slots.slot[hash_of(row->address) & writer->block_slots.mask];
	struct block *block = &writer->blocks[writer->block_count++];

	block->address = row->address;
	block->at_ns = row->at_ns;
	block->size_bytes = (uint32_t)row->size_bytes;
	block->stack_id = row->stack_id;
	block->thread = row->thread;
	block->next = *head;
	block->class = row->size_bytes > UINT32_MAX ? CLASS_ESCAPE : (uint8_t) class;
	*head = (uint16_t)writer->block_count;
}

/* Four times the slots. Blocks that were freed come back into their chains, harmlessly. */
static int block_slots_grow(struct chunk_writer *writer)
{
	struct slots *slots = &writer->block_slots;
	uint32_t mask = slots->mask * 4 + 3;
	uint16_t *slot = calloc((size_t)mask + 1, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	for (uint32_t i = 0; i < writer->block_count; i++) {
		uint16_t *head = &slot[hash_of(writer->blocks[i].address) & mask];

		writer->blocks[i].next = *head;
		*head = (uint16_t)(i + 1);
	}
	free(slots->slot);
	*slots = (struct slots){ slot, mask };
	return 0;
}

static int site_slots_grow(struct chunk_writer *writer)
{
	struct slots *slots = &writer->site_slots;
	uint32_t mask = slots->mask * 4 + 3;
	uint16_t *slot = calloc((size_t)mask + 1, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	for (uint32_t i = 1; i < writer->site_count; i++) {
		uint32_t to = hash_of(writer->sites[i].stack_id) & mask;

		while (slot[to])
			to = (to + 1) & mask;
		slot[to] = (uint16_t)(i + 1);
	}
	free(slots->slot);
	*slots = (struct slots){ slot, mask };
	return 0;
}

static inline uint32_t site_find(struct chunk_writer *writer, uint32_t stack_id, bool *ret_new)
{
	struct slots *slots = &writer->site_slots;
	uint32_t i = hash_of(stack_id) & slots->mask;

	for (; slots->slot[i]; i = (i + 1) & slots->mask)
		if (writer->sites[slots->slot[i] - 1].stack_id == stack_id)
			return slots->slot[i] - 1;

	struct site *site = &writer->sites[writer->site_count];

	*ret_new = true;
	slots->slot[i] = (uint16_t)++writer->site_count;
	*site = (struct site){ .stack_id = stack_id, .class = CLASS_ESCAPE };
	return writer->site_count - 1;
}

/* The code of a usable size. CLASS_ESCAPE: it is in CLASS_NEW. */
static inline uint32_t class_find(struct chunk_writer *writer, uint64_t usable_bytes, bool *ret_new)
{
	uint32_t i = hash_of(usable_bytes) & (CLASS_SLOTS - 1);

	for (; writer->class_slot[i]; i = (i + 1) & (CLASS_SLOTS - 1))
		if (writer->classes[writer->class_slot[i] - 1].usable_bytes == usable_bytes)
			return writer->class_slot[i] - 1;
	*ret_new = true;
	if (writer->class_count == CLASS_MAX) {
		writer->classes[CLASS_ESCAPE].usable_bytes = usable_bytes;
		return CLASS_ESCAPE;
	}

	uint32_t class = writer->class_count++;

	writer->classes[class] = (struct size_class){ .usable_bytes = usable_bytes };
	writer->class_slot[i] = (uint8_t)(class + 1);
	return class;
}

/* Writes a stack; true when it is the one that followed last time, and nothing was written. Stacks
 * of blocks allocated (`old` 0) and of blocks freed (1) are two sequences. */
static inline bool put_stack(struct chunk_writer *writer, uint32_t stack_id, unsigned old)
{
	struct site *last = &writer->sites[writer->last_site[old]];
	uint32_t site = last->follower[old];
	bool is_new = false;

	if (site && writer->sites[site].stack_id == stack_id) {
		writer->last_site[old] = site;
		return true;
	}
	site = site_find(writer, stack_id, &is_new);
	PUT_BYTE(STACK_LOW, site);
	PUT_BYTE(STACK_HIGH, site >> 8);
	if (is_new)
		PUT(STACK_NEW, zigzag((int64_t)stack_id - last->stack_id));
	last->follower[old] = site;
	writer->last_site[old] = site;
	return false;
}

/* Writes sizes; true when they are as last time from this stack, and nothing was written. */
static inline bool put_size(struct chunk_writer *writer, uint64_t size_bytes, uint64_t usable_bytes,
			    unsigned old, uint32_t *ret_class)
{
	struct site *site = &writer->sites[writer->last_site[old]];
	bool is_new = false;

	if (site->usable_bytes == usable_bytes && site->size_bytes == size_bytes &&
	    site->class != CLASS_ESCAPE) {
		*ret_class = site->class;
		return true;
	}

	uint32_t class = class_find(writer, usable_bytes, &is_new);

	PUT_BYTE(CLASS, class);
	if (is_new)
		PUT(CLASS_NEW, usable_bytes);
	PUT(SLACK, zigzag((int64_t)(usable_bytes - size_bytes)));
	site->size_bytes = size_bytes;
	site->usable_bytes = usable_bytes;
	site->class = class;
	*ret_class = class;
	return false;
}

static inline bool put_address(struct chunk_writer *writer, uint64_t address, uint32_t class,
			       bool allocation)
{
	struct size_class *of = &writer->classes[class];
	uint64_t delta = address - of->last;

	of->last = address;
	if (allocation && of->freed == address)
		return true;
	if (delta & 15) {
		PUT(ADDRESS, ADDRESS_ODD);
		PUT(ADDRESS, zigzag((int64_t)delta));
	} else {
		PUT(ADDRESS, zigzag((int64_t)delta >> 4) << 1);
	}
	return false;
}

static inline void bound_stack(struct chunk_writer *writer, uint32_t stack_id)
{
	if (stack_id < writer->bounds.stack_low)
		writer->bounds.stack_low = stack_id;
	if (stack_id > writer->bounds.stack_high)
		writer->bounds.stack_high = stack_id;
}

static inline void bound_address(struct chunk_writer *writer, uint64_t address)
{
	if (address < writer->bounds.address_low)
		writer->bounds.address_low = address;
	if (address > writer->bounds.address_high)
		writer->bounds.address_high = address;
}

/* A block allocated earlier: by reference when it is in this chunk. Returns OP_FREE_* bits. */
static inline unsigned put_old(struct chunk_writer *writer, const struct event_row *row,
			       uint64_t address, uint64_t size_bytes, uint64_t usable_bytes,
			       uint32_t stack_id, unsigned *odd)
{
	struct block *block = block_take(writer, address);
	uint32_t class;
	unsigned op = 0;

	if (block && block->at_ns == row->allocated_at_ns && block->size_bytes == size_bytes &&
	    block->class != CLASS_ESCAPE &&
	    writer->classes[block->class].usable_bytes == usable_bytes &&
	    block->stack_id == stack_id && block->thread == row->allocated_by) {
		PUT(REF, (uint64_t)(writer->blocks + writer->block_count - block));
		writer->classes[block->class].freed = address;
		return OP_FREE_REF;
	}
	if (put_stack(writer, stack_id, 1))
		op |= OP_FREE_FOLLOWS;
	if (put_size(writer, size_bytes, usable_bytes, 1, &class))
		op |= OP_FREE_SAME;
	put_address(writer, address, class, false);
	writer->classes[class].freed = address;
	PUT(AGE, zigzag((int64_t)(row->allocated_at_ns - writer->last_allocated_ns)));
	writer->last_allocated_ns = row->allocated_at_ns;
	if (row->allocated_by != writer->last_by) {
		*odd |= ODD_BY;
		PUT(BY, row->allocated_by);
		writer->last_by = row->allocated_by;
	}
	bound_stack(writer, stack_id);
	if (row->allocated_at_ns < writer->bounds.oldest_ns)
		writer->bounds.oldest_ns = row->allocated_at_ns;
	return op;
}

/* Where a block is freed. Most recordings do not know; then nothing is written. */
static inline void put_freed(struct chunk_writer *writer, const struct event_row *row,
			     unsigned *odd)
{
	struct freed_guesses *guesses = &writer->freed_guesses;
	uint32_t *guess, stack_id = row->freed_stack_id;

	if (!writer->freed) {
		if (!stack_id)
			return;
		*odd |= ODD_FREED;
		writer->freed = true;
		memset(guesses, 0, sizeof(*guesses));
	}
	guess = freed_guess(guesses, row->stack_id);
	if (*guess == stack_id)
		PUT(FREED, 0);
	else
		PUT(FREED, 1 + zigzag((int64_t)stack_id - guesses->last));
	*guess = stack_id;
	guesses->last = stack_id;
}

/* Events that are not about blocks are rare: every field is stored. */
static void put_pages(struct chunk_writer *writer, const struct event_row *row)
{
	PUT(PAGES, zigzag((int64_t)(row->address - writer->last_page)));
	PUT(PAGES, zigzag((int64_t)row->size_bytes));
	PUT(PAGES, row->usable_bytes);
	PUT(PAGES, row->old_address);
	PUT(PAGES, row->old_size_bytes);
	PUT(PAGES, row->old_usable_bytes);
	PUT(PAGES, row->allocated_at_ns);
	PUT(PAGES, row->allocated_by);
	PUT(PAGES, row->old_stack_id);
	PUT(PAGES, row->stack_id);
	writer->last_page = row->address;
}

static int threads_grow(struct chunk_writer *writer, uint32_t thread)
{
	uint32_t capacity = writer->thread_capacity;
	uint64_t *next_seq;

	if (thread >= CHUNK_MAX_THREADS)
		return -EINVAL;
	while (capacity <= thread)
		capacity *= 2;
	next_seq = realloc(writer->next_seq, capacity * sizeof(*next_seq));
	if (!next_seq)
		return -ENOMEM;
	memset(next_seq + writer->thread_capacity, 0,
	       (capacity - writer->thread_capacity) * sizeof(*next_seq));
	writer->next_seq = next_seq;
	writer->thread_capacity = capacity;
	return 0;
}

static int make_room(struct chunk_writer *writer, const struct event_row *row)
{
	int error = 0;

	if (row->thread >= writer->thread_capacity)
		error = threads_grow(writer, row->thread);
	if (!error && writer->block_count > 2 * writer->block_slots.mask)
		error = block_slots_grow(writer);
	if (!error && (writer->site_count + 2) * 2 > writer->site_slots.mask)
		error = site_slots_grow(writer);
	return error;
}

int chunk_writer_add(struct chunk_writer *writer, const struct event_row *row)
{
	unsigned kind = event_kind_of(row->kind), op = op_of_kind(kind), odd = 0;
	uint64_t step;

	if (kind == EVENT_NONE || kind >= EVENT_KIND_COUNT ||
	    (row->kind & ~(EVENT_KIND_MASK | EVENT_BY_ALLOCATOR)))
		return -EINVAL;
	/* an event has at most two stacks and one block, and their indices + 1 have 16 bits */
	if (writer->bounds.events == CHUNK_MAX_EVENTS || writer->site_count > 0xfffc ||
	    writer->block_count == 0xffff)
		return -ENOSPC;
	if (row->thread >= writer->thread_capacity ||
	    writer->block_count > 2 * writer->block_slots.mask ||
	    (writer->site_count + 2) * 2 > writer->site_slots.mask) {
		int error = make_room(writer, row);

		if (error)
			return error;
	}

	if (row->thread != writer->last_thread) {
		odd |= ODD_THREAD;
		PUT(THREAD, row->thread);
		writer->last_thread = row->thread;
		if (row->thread < writer->thread_low)
			writer->thread_low = row->thread;
		if (row->thread > writer->thread_high)
			writer->thread_high = row->thread;
		if (row->thread < writer->bounds.thread_low)
			writer->bounds.thread_low = row->thread;
		if (row->thread > writer->bounds.thread_high)
			writer->bounds.thread_high = row->thread;
	} else if (row->thread == 0) {
		writer->bounds.thread_low = 0;
		writer->thread_low = 0;
	}
	if (row->seq != writer->next_seq[row->thread]) {
		odd |= ODD_GAP;
		PUT(GAP, zigzag((int64_t)(row->seq - writer->next_seq[row->thread])));
	}
	writer->next_seq[row->thread] = row->seq + 1;
	if (row->kind & EVENT_BY_ALLOCATOR)
		odd |= ODD_BY_ALLOCATOR;
	step = row->at_ns - writer->last_ns;
	if (row->at_ns < writer->last_ns) {
		odd |= ODD_BACK;
		step = -step;
		writer->unsorted = true;
	}
	if (step >> 8 >= TIME_ESCAPE) {
		PUT(TIME_LONG, step);
		step = TIME_ESCAPE << 8;
	}
	PUT_BYTE(TIME_LOW, step);
	PUT_BYTE(TIME_HIGH, step >> 8);
	writer->last_ns = row->at_ns;

	if (event_is_block(row->kind)) {
		if (kind == EVENT_FREE) {
			op |= put_old(writer, row, row->address, row->size_bytes, row->usable_bytes,
				      row->stack_id, &odd);
			put_freed(writer, row, &odd);
		} else {
			uint32_t class;

			if (kind == EVENT_REALLOC || kind == EVENT_LIVE) {
				uint8_t *old = writer->at[CHUNK_OLD_STREAM]++;

				*old = OLD_NONE;
				if (row->old_address) {
					unsigned bits =
						put_old(writer, row, row->old_address,
							row->old_size_bytes, row->old_usable_bytes,
							row->old_stack_id, &odd);

					*old = (uint8_t)(OLD_SOME | bits);
					bound_address(writer, row->old_address);
				}
			}
			if (put_stack(writer, row->stack_id, 0))
				op |= OP_STACK_FOLLOWS;
			if (put_size(writer, row->size_bytes, row->usable_bytes, 0, &class))
				op |= OP_SIZE_SAME;
			if (put_address(writer, row->address, class, true))
				op |= OP_ADDRESS_FREED;
			bound_stack(writer, row->stack_id);
			block_put(writer, row, class);
		}
	} else {
		put_pages(writer, row);
		bound_stack(writer, row->stack_id);
	}
	bound_address(writer, row->address);
	if (odd) {
		op |= OP_ODD;
		PUT_BYTE(ODD, odd);
	}
	PUT_BYTE(OP, op);
	if (row->at_ns < writer->bounds.first_ns)
		writer->bounds.first_ns = row->at_ns;
	if (row->at_ns > writer->bounds.last_ns)
		writer->bounds.last_ns = row->at_ns;
	writer->bounds.kinds |= 1u << kind;
	writer->bounds.events++;
	return 0;
}
