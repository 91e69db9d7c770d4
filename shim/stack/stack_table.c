/*
 * Interning of stack nodes, and sending them: see stack_table.h.
 *
 * A slot of an index is claimed by storing one word of the hash and filled by storing the rest;
 * whoever meets a claimed, unfilled slot passes on. Two threads may so give one node two numbers.
 * That is harmless (both name the same stack) and the price for nobody ever waiting. An index grows
 * by copying while others go on with the old one, for as long as it takes; what they add there
 * meanwhile, or only number because there is no room left, is added again when it is asked for.
 */
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/uio.h>

#include "proto/wire.h"
#include "shim/libc.h"
#include "shim/link.h"
#include "shim/ring.h"
#include "shim/stack/modules.h"
#include "shim/stack/range.h"
#include "shim/stack/stack_table.h"

#define INDEX_FIRST_BITS 10
#define INDEX_MOST_BITS 29
#define NODE_NUMBER_MAX ((1u << NODE_NUMBER_BITS) - 1)
#define HOLES_MAX 32
#define HOLE_SPINS 1000

/* An index in all its sizes, by bits; each is written once. */
struct growing_index {
	struct stack_index sizes[INDEX_MOST_BITS + 1];
	struct stack_index **now;
	bool growing; /* also held while nodes are dropped */
};

unsigned ht_stack_depth;
struct node_hash ht_node_root;
struct stack_index *ht_stack_index;

static struct ring *ring;
static struct ring_head *head;
static uint32_t node_limit; /* numbers below this exist */
static uint32_t node_next = 1;
static struct stack_index *node_index;
static struct growing_index stacks_all = { .now = &ht_stack_index };
static struct growing_index nodes_all = { .now = &node_index };

/* Under the send lock. */
static uint32_t sent_to = 1;	  /* numbers below this were sent, but for the holes */
static uint32_t holes[HOLES_MAX]; /* not complete when their turn came */
static unsigned holes_used;

static struct ring_node *node_at(uint32_t number)
{
	return ht_ring_node(ring, number);
}

static uint64_t slot_link(struct node_hash hash, uint32_t number)
{
	return (hash.proof & ~(uint64_t)UINT32_MAX) | number;
}

/* Claims a slot; NULL: every place near is taken. */
static struct stack_slot *index_claim(struct stack_index *index, uint64_t place)
{
	size_t mask = ((size_t)1 << index->bits) - 1;

	for (size_t at = slot_home(place, index), left = STACK_PROBES; left;
	     at = (at + 1) & mask, left--) {
		struct stack_slot *slot = &index->slots[at];
		uint64_t none = 0;

		if (!__atomic_load_n(&slot->place, __ATOMIC_RELAXED) &&
		    __atomic_compare_exchange_n(&slot->place, &none, place, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED)) {
			__atomic_fetch_add(&index->used, 1, __ATOMIC_RELAXED);
			return slot;
		}
	}
	return NULL;
}

static struct stack_index *index_make(struct growing_index *all, unsigned bits)
{
	struct stack_index *index = &all->sizes[bits];

	index->slots = ht_stack_table_pages(sizeof(*index->slots) << bits);
	if (!index->slots)
		return NULL;
	index->bits = bits;
	index->used = 0;
	index->limit = (uint32_t)(((uint64_t)3 << bits) / 4);
	return index;
}

/* Twice the size, with every slot that is filled. Only one thread does it at a time. */
static __attribute__((noinline, cold)) void index_grow(struct growing_index *all,
						       struct stack_index *old)
{
	struct stack_index *index = NULL;

	if (__atomic_exchange_n(&all->growing, true, __ATOMIC_ACQUIRE))
		return;
	if (__atomic_load_n(all->now, __ATOMIC_ACQUIRE) == old) {
		if (old->bits < INDEX_MOST_BITS)
			index = index_make(all, old->bits + 1);
		if (!index)
			old->limit = UINT32_MAX; /* no memory: go on with what there is */
		for (size_t i = 0; index && i < (size_t)1 << old->bits; i++) {
			uint64_t link = __atomic_load_n(&old->slots[i].link, __ATOMIC_ACQUIRE);

			struct stack_slot *slot =
				link ? index_claim(index, old->slots[i].place) : NULL;

			if (slot)
				slot->link = link;
		}
		if (index)
			__atomic_store_n(all->now, index, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&all->growing, false, __ATOMIC_RELEASE);
}

/* Links of dropped nodes are emptied: they are not found any more. */
static void index_drop(struct stack_index *index)
{
	size_t slots = index ? (size_t)1 << index->bits : 0;

	for (size_t i = 0; i < slots; i++) {
		struct stack_slot *slot = &index->slots[i];
		uint32_t number = (uint32_t)__atomic_load_n(&slot->link, __ATOMIC_ACQUIRE);

		if (number && node_at(number)->dropped)
			__atomic_store_n(&slot->link, 0, __ATOMIC_RELEASE);
	}
}

/* A new node in the shared memory; 0: no room. */
static uint32_t node_make(uint32_t parent, uint64_t pc, bool by_fp)
{
	uint32_t number = __atomic_load_n(&node_next, __ATOMIC_RELAXED), used;

	do {
		if (number >= node_limit || !ht_ring_reach(ring, number))
			return 0;
	} while (!__atomic_compare_exchange_n(&node_next, &number, number + 1, false,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	node_at(number)->parent = parent;
	node_at(number)->by_frame_pointer = by_fp;
	__atomic_store_n(&node_at(number)->pc, pc, __ATOMIC_RELEASE);
	used = __atomic_load_n(&head->nodes_used, __ATOMIC_RELAXED);
	while (used <= number &&
	       !__atomic_compare_exchange_n(&head->nodes_used, &used, number + 1, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return number;
}

uint32_t ht_node_find(struct node_hash hash)
{
	return stack_index_find(__atomic_load_n(&node_index, __ATOMIC_ACQUIRE), hash);
}

uint32_t ht_node_intern(uint32_t parent, uint64_t pc, bool by_fp, struct node_hash hash)
{
	struct stack_index *index = __atomic_load_n(&node_index, __ATOMIC_ACQUIRE);
	uint32_t number = stack_index_find(index, hash);
	struct stack_slot *slot;

	if (number)
		return number;
	slot = index_claim(index, slot_place(hash));
	number = node_make(parent, pc, by_fp);
	if (number && slot)
		__atomic_store_n(&slot->link, slot_link(hash, number), __ATOMIC_RELEASE);
	if (__atomic_load_n(&index->used, __ATOMIC_RELAXED) >= index->limit)
		index_grow(&nodes_all, index);
	return number;
}

void ht_stack_note(struct node_hash hash, uint32_t number)
{
	struct stack_index *index = __atomic_load_n(&ht_stack_index, __ATOMIC_ACQUIRE);
	struct stack_slot *slot = index_claim(index, slot_place(hash));

	if (slot)
		__atomic_store_n(&slot->link, slot_link(hash, number), __ATOMIC_RELEASE);
	if (__atomic_load_n(&index->used, __ATOMIC_RELAXED) >= index->limit)
		index_grow(&stacks_all, index);
}

static void hold_growth(struct growing_index *all)
{
	while (__atomic_exchange_n(&all->growing, true, __ATOMIC_ACQUIRE))
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void ht_nodes_drop(uintptr_t start, uintptr_t end)
{
	uint32_t count = __atomic_load_n(&node_next, __ATOMIC_ACQUIRE);

	if (!ht_stack_depth)
		return;
	hold_growth(&nodes_all);
	hold_growth(&stacks_all);
	/* A parent's number is lower than its child's. */
	for (uint32_t n = 1; n < count; n++)
		if (node_at(n)->pc - 1 - start < end - start ||
		    (node_at(n)->parent < n && node_at(node_at(n)->parent)->dropped))
			node_at(n)->dropped = 1;
	index_drop(node_index);
	index_drop(ht_stack_index);
	__atomic_store_n(&stacks_all.growing, false, __ATOMIC_RELEASE);
	__atomic_store_n(&nodes_all.growing, false, __ATOMIC_RELEASE);
}

void ht_stack_count_cut(enum stack_cut reason)
{
	ht_loss_add(LOSS_CUT_STACKS, 1);
	if (head)
		__atomic_fetch_add(&head->cut_reasons[reason], 1, __ATOMIC_RELAXED);
}

/* What the kernel put there for the program is known to no one outside of it. */
static void random_root(void)
{
	const void *bytes = (const void *)ht_libc()->getauxval(AT_RANDOM);

	if (bytes)
		memcpy(&ht_node_root, bytes, sizeof(ht_node_root));
}

void ht_stacks_attach(struct ring *new_ring, unsigned depth)
{
	struct link_hold hold;

	ht_stacks_detach();
	ring = new_ring;
	head = ring->head;
	node_limit = head->node_capacity;
	if (node_limit > NODE_NUMBER_MAX)
		node_limit = NODE_NUMBER_MAX;
	node_next = 1;
	sent_to = 1;
	holes_used = 0;
	nodes_all.growing = false;
	stacks_all.growing = false;
	head->nodes_used = 1;
	head->nodes_sent = 1;
	random_root();
	ht_modules_attach();
	ht_stack_index = index_make(&stacks_all, INDEX_FIRST_BITS);
	node_index = index_make(&nodes_all, INDEX_FIRST_BITS);
	if (!ht_stack_index || !node_index)
		return;
	ht_stack_depth = depth && depth < STACK_DEPTH_MAX ? depth : STACK_DEPTH_MAX;
	if (ht_link_try_lock(&hold)) {
		ht_stacks_send();
		ht_link_unlock(&hold);
	}
}

void ht_stacks_detach(void)
{
	ht_stack_depth = 0;
	ht_stack_forget();
}

bool ht_stacks_pending(void)
{
	return ht_stack_depth && (sent_to < __atomic_load_n(&node_next, __ATOMIC_ACQUIRE) ||
				  holes_used || ht_modules_pending());
}

#define NODES_A_FRAME 1024

/* The frame with nodes [first, first + count), which are complete. */
static void lay_out(struct iovec parts[STACKS_PARTS], uint32_t first, uint32_t count)
{
	static uint32_t parents[NODES_A_FRAME];
	static uint64_t pcs[NODES_A_FRAME];
	static uint32_t by_fp[NODES_A_FRAME];
	static uint8_t heads[4][24];
	struct wire_put put[4];
	uint32_t payload, by_fp_count = 0;
	size_t body;

	for (uint32_t i = 0; i < count; i++) {
		parents[i] = node_at(first + i)->parent;
		pcs[i] = node_at(first + i)->pc;
		if (node_at(first + i)->by_frame_pointer)
			by_fp[by_fp_count++] = first + i;
	}
	for (unsigned i = 0; i < 4; i++)
		put[i] = (struct wire_put){ heads[i], heads[i] + sizeof(heads[i]), 0 };
	/* StackNodes: first_node, parents, pcs, by_frame_pointer. */
	wire_put_head(&put[1], 2, count * sizeof(parents[0]));
	wire_put_head(&put[2], 3, count * sizeof(pcs[0]));
	if (by_fp_count)
		wire_put_head(&put[3], 4, by_fp_count * sizeof(by_fp[0]));
	body = 5 + (size_t)(put[1].at - heads[1]) + count * sizeof(parents[0]) +
	       (size_t)(put[2].at - heads[2]) + count * sizeof(pcs[0]) +
	       (size_t)(put[3].at - heads[3]) + by_fp_count * sizeof(by_fp[0]);
	put[0].at += WIRE_HEADER_BYTES;
	wire_put_head(&put[0], 5, body);
	payload = (uint32_t)(body + (size_t)(put[0].at - heads[0]) - WIRE_HEADER_BYTES);
	memcpy(heads[0], &payload, sizeof(payload));
	wire_put_fixed32(&put[0], 1, first);
	parts[0] = (struct iovec){ heads[0], (size_t)(put[0].at - heads[0]) };
	parts[1] = (struct iovec){ heads[1], (size_t)(put[1].at - heads[1]) };
	parts[2] = (struct iovec){ parents, count * sizeof(parents[0]) };
	parts[3] = (struct iovec){ heads[2], (size_t)(put[2].at - heads[2]) };
	parts[4] = (struct iovec){ pcs, count * sizeof(pcs[0]) };
	parts[5] = (struct iovec){ heads[3], (size_t)(put[3].at - heads[3]) };
	parts[6] = (struct iovec){ by_fp, by_fp_count * sizeof(by_fp[0]) };
}

/* False: not taken. */
static bool send_nodes(uint32_t first, uint32_t count)
{
	struct iovec parts[STACKS_PARTS];

	lay_out(parts, first, count);
	return ht_link_send(parts, STACKS_PARTS) == 0;
}

static bool node_complete(uint32_t number)
{
	for (unsigned i = 0; i < HOLE_SPINS; i++)
		if (__atomic_load_n(&node_at(number)->pc, __ATOMIC_ACQUIRE))
			return true;
	return false;
}

/* How many nodes from `first` on, below `to`, are complete; at most a frame's. */
static uint32_t complete_from(uint32_t first, uint32_t to)
{
	uint32_t count = 0;

	while (first + count < to && count < NODES_A_FRAME && node_complete(first + count))
		count++;
	return count;
}

void ht_stacks_frame_sent(uint32_t count)
{
	sent_to += count;
	__atomic_store_n(&head->nodes_sent, holes_used ? holes[0] : sent_to, __ATOMIC_RELAXED);
}

uint32_t ht_stacks_frame(struct iovec parts[STACKS_PARTS])
{
	uint32_t to = __atomic_load_n(&node_next, __ATOMIC_ACQUIRE);

	if (holes_used || ht_modules_pending() || to - sent_to > NODES_A_FRAME ||
	    complete_from(sent_to, to) != to - sent_to)
		return 0;
	lay_out(parts, sent_to, to - sent_to);
	return to - sent_to;
}

void ht_stacks_send(void)
{
	uint32_t to = __atomic_load_n(&node_next, __ATOMIC_ACQUIRE), count;

	if (!ht_stack_depth || !ht_modules_send())
		return;
	for (unsigned i = 0; i < holes_used;) {
		if (!__atomic_load_n(&node_at(holes[i])->pc, __ATOMIC_ACQUIRE)) {
			i++;
			continue;
		}
		if (!send_nodes(holes[i], 1))
			return;
		holes[i] = holes[--holes_used];
	}
	while (sent_to < to) {
		count = complete_from(sent_to, to);
		if (count) {
			if (!send_nodes(sent_to, count))
				return;
		} else if (holes_used < HOLES_MAX) {
			/* Another thread is about to fill it in; what it means comes later. */
			holes[holes_used++] = sent_to;
			count = 1;
		} else {
			return;
		}
		ht_stacks_frame_sent(count);
	}
}
