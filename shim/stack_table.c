/*
 * Interning of stack nodes, and sending them: see stack_table.h.
 *
 * The index is an open-addressed hash from (pc, parent) to the node's number. A slot is claimed by
 * storing its pc and filled by storing its link; whoever meets a claimed, unfilled slot passes on.
 * Two threads may so give one node two numbers. That is harmless (both name the same stack) and
 * the price for nobody ever waiting. The index grows by copying while others go on with the old
 * one, for as long as it takes; what they add there meanwhile, or only number because there is no
 * room left, is interned a second time when it is asked for again.
 */
#include <errno.h>
#include <sys/uio.h>

#include "proto/wire.h"
#include "shim/link.h"
#include "shim/modules.h"
#include "shim/record.h"
#include "shim/ring.h"
#include "shim/stack_table.h"
#include "shim/unwind.h"

#define INDEX_FIRST_BITS 12
#define INDEX_MOST_BITS 29
#define NODE_NUMBER_MAX META_STACK_MAX
#define PROBES 256 /* a node this far from its place is not looked for */
#define HOLES_MAX 32
#define HOLE_SPINS 1000

struct slot {
	uint64_t pc;
	uint64_t link; /* parent << 32 | number, 0: not filled yet */
};

struct index {
	unsigned bits;
	uint32_t limit; /* nodes from which on it is too full */
	struct slot *slots;
};

unsigned ht_stack_depth;

static struct ring_head *head;
static struct ring_node *nodes;
static uint32_t node_limit; /* numbers below this exist */
static uint32_t node_next = 1;
static struct index index_parts[32]; /* by bits; each is written once */
static struct index *index_now;
static bool growing;

/* Under the send lock. */
static uint32_t sent_to = 1;	  /* numbers below this were sent, but for the holes */
static uint32_t holes[HOLES_MAX]; /* not complete when their turn came */
static unsigned holes_used;

/* The high bits of a product, which are its best. */
static inline size_t place(uint64_t hash, unsigned bits)
{
	return (size_t)(hash * 0xbf58476d1ce4e5b9ull >> (64 - bits));
}

/* Puts a complete node in, but for its doubles, and where there is room near its place. */
static void index_put(struct index *index, uint64_t pc, uint64_t hash, uint64_t link)
{
	size_t mask = ((size_t)1 << index->bits) - 1;
	size_t at = place(hash, index->bits);

	for (unsigned i = 0; i < PROBES; i++, at = (at + 1) & mask) {
		struct slot *slot = &index->slots[at];

		if (!slot->pc) {
			*slot = (struct slot){ pc, link };
			return;
		}
		if (slot->pc == pc && slot->link >> 32 == link >> 32)
			return;
	}
}

static uint32_t index_limit(unsigned bits)
{
	return (uint32_t)(((uint64_t)3 << bits) / 4);
}

static struct index *index_make(unsigned bits)
{
	struct index *index = &index_parts[bits];

	index->slots = ht_stack_table_pages(sizeof(struct slot) << bits);
	if (!index->slots)
		return NULL;
	index->bits = bits;
	index->limit = index_limit(bits);
	return index;
}

/* Hashes of the nodes below `count`: a parent's number is lower than its child's. */
static uint64_t *hashes_make(uint32_t count)
{
	uint64_t *hashes = ht_stack_pages(count * sizeof(*hashes));

	for (uint32_t n = 1; hashes && n < count; n++)
		if (nodes[n].parent < n)
			hashes[n] = ht_node_hash(hashes[nodes[n].parent],
						 __atomic_load_n(&nodes[n].pc, __ATOMIC_ACQUIRE));
	return hashes;
}

/* At least twice the size, with every node that is complete. Only one thread does it at a time. */
static __attribute__((noinline, cold)) void index_grow(struct index *old)
{
	uint64_t *hashes = NULL;
	struct index *index = NULL;
	unsigned bits = old->bits + 1;
	uint32_t count;

	if (__atomic_exchange_n(&growing, true, __ATOMIC_ACQUIRE))
		return;
	if (__atomic_load_n(&index_now, __ATOMIC_ACQUIRE) != old || old->bits >= INDEX_MOST_BITS)
		goto out;
	count = __atomic_load_n(&node_next, __ATOMIC_RELAXED);
	hashes = hashes_make(count);
	while (bits < INDEX_MOST_BITS && index_limit(bits) <= count)
		bits++;
	if (hashes)
		index = index_make(bits);
	if (!index) {
		old->limit = UINT32_MAX; /* no memory: go on with what there is */
		goto out;
	}
	for (uint32_t n = 1; n < count; n++)
		if (hashes[n] && !nodes[n].reserved &&
		    __atomic_load_n(&nodes[n].pc, __ATOMIC_ACQUIRE))
			index_put(index, nodes[n].pc, hashes[n],
				  (uint64_t)nodes[n].parent << 32 | n);
	__atomic_store_n(&index_now, index, __ATOMIC_RELEASE);
out:
	if (hashes)
		ht_stack_pages_free(hashes, count * sizeof(*hashes));
	__atomic_store_n(&growing, false, __ATOMIC_RELEASE);
}

/* A new node in the shared memory; 0: no room. */
static uint32_t node_make(uint32_t parent, uint64_t pc)
{
	uint32_t number = __atomic_load_n(&node_next, __ATOMIC_RELAXED), used;

	do {
		if (number >= node_limit)
			return 0;
	} while (!__atomic_compare_exchange_n(&node_next, &number, number + 1, false,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	nodes[number].parent = parent;
	__atomic_store_n(&nodes[number].pc, pc, __ATOMIC_RELEASE);
	used = __atomic_load_n(&head->nodes_used, __ATOMIC_RELAXED);
	while (used <= number &&
	       !__atomic_compare_exchange_n(&head->nodes_used, &used, number + 1, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return number;
}

void ht_node_prefetch(uint64_t hash)
{
	const struct index *index = __atomic_load_n(&index_now, __ATOMIC_ACQUIRE);

	if (__builtin_expect(index != NULL, 1))
		__builtin_prefetch(&index->slots[place(hash, index->bits)]);
}

uint32_t ht_node_intern(uint32_t parent, uint64_t pc, uint64_t hash)
{
	struct index *index = __atomic_load_n(&index_now, __ATOMIC_ACQUIRE);
	struct slot *free_slot = NULL;
	size_t mask, at, end;
	uint32_t number;

	if (__builtin_expect(!index, 0))
		return 0;
	mask = ((size_t)1 << index->bits) - 1;
	at = place(hash, index->bits);
	end = (at + PROBES) & mask;
	for (; at != end; at = (at + 1) & mask) {
		struct slot *slot = &index->slots[at];
		uint64_t found = __atomic_load_n(&slot->pc, __ATOMIC_RELAXED);

		if (__builtin_expect(found == pc, 1)) {
			uint64_t link = __atomic_load_n(&slot->link, __ATOMIC_ACQUIRE);

			if (__builtin_expect(link >> 32 == parent && (uint32_t)link, 1))
				return (uint32_t)link;
			continue;
		}
		if (found)
			continue;
		if (__atomic_compare_exchange_n(&slot->pc, &found, pc, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED)) {
			free_slot = slot;
			break;
		}
		at = (at - 1) & mask; /* look at what it is now */
	}
	number = node_make(parent, pc);
	if (number && free_slot)
		__atomic_store_n(&free_slot->link, (uint64_t)parent << 32 | number,
				 __ATOMIC_RELEASE);
	if (number >= index->limit)
		index_grow(index);
	return number;
}

void ht_nodes_drop(uintptr_t start, uintptr_t end)
{
	struct index *index;
	size_t slots;

	while (__atomic_exchange_n(&growing, true, __ATOMIC_ACQUIRE))
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	index = index_now;
	slots = index ? (size_t)1 << index->bits : 0;
	for (size_t i = 0; i < slots; i++) {
		struct slot *slot = &index->slots[i];
		uint32_t number = (uint32_t)__atomic_load_n(&slot->link, __ATOMIC_ACQUIRE);

		if (!number || slot->pc - 1 - start >= end - start)
			continue;
		nodes[number].reserved = 1;
		__atomic_store_n(&slot->link, 0, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&growing, false, __ATOMIC_RELEASE);
}

void ht_stack_count_cut(enum stack_cut reason)
{
	ht_loss_add(LOSS_CUT_STACKS, 1);
	if (head)
		__atomic_fetch_add(&head->cut_reasons[reason], 1, __ATOMIC_RELAXED);
}

void ht_stacks_attach(struct ring_head *new_head, struct ring_node *new_nodes, unsigned depth)
{
	struct link_hold hold;

	ht_stacks_detach();
	head = new_head;
	nodes = new_nodes;
	node_limit = head->node_capacity;
	if (node_limit > NODE_NUMBER_MAX)
		node_limit = NODE_NUMBER_MAX;
	node_next = 1;
	sent_to = 1;
	holes_used = 0;
	growing = false;
	head->nodes_used = 1;
	head->nodes_sent = 1;
	ht_modules_attach();
	index_now = index_make(INDEX_FIRST_BITS);
	if (!index_now)
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
	index_now = NULL;
	ht_stack_forget();
}

bool ht_stacks_pending(void)
{
	return ht_stack_depth && (sent_to < __atomic_load_n(&node_next, __ATOMIC_ACQUIRE) ||
				  holes_used || ht_modules_pending());
}

#define NODES_A_FRAME 1024

/* Sends nodes [first, first + count), which are complete. False: not taken. */
static bool send_nodes(uint32_t first, uint32_t count)
{
	static uint32_t parents[NODES_A_FRAME];
	static uint64_t pcs[NODES_A_FRAME];
	uint8_t heads[3][24];
	struct iovec parts[5];
	struct wire_put put[3];
	size_t body;

	for (uint32_t i = 0; i < count; i++) {
		parents[i] = nodes[first + i].parent;
		pcs[i] = nodes[first + i].pc;
	}
	for (unsigned i = 0; i < 3; i++)
		put[i] = (struct wire_put){ heads[i], heads[i] + sizeof(heads[i]), 0 };
	/* StackNodes: first_node, parents, pcs. */
	wire_put_head(&put[1], 2, count * sizeof(parents[0]));
	wire_put_head(&put[2], 3, count * sizeof(pcs[0]));
	body = 5 + (size_t)(put[1].at - heads[1]) + count * sizeof(parents[0]) +
	       (size_t)(put[2].at - heads[2]) + count * sizeof(pcs[0]);
	put[0].at += WIRE_HEADER_BYTES;
	wire_put_head(&put[0], 5, body);
	{
		uint32_t payload =
			(uint32_t)(body + (size_t)(put[0].at - heads[0]) - WIRE_HEADER_BYTES);

		memcpy(heads[0], &payload, sizeof(payload));
	}
	wire_put_fixed32(&put[0], 1, first);
	parts[0] = (struct iovec){ heads[0], (size_t)(put[0].at - heads[0]) };
	parts[1] = (struct iovec){ heads[1], (size_t)(put[1].at - heads[1]) };
	parts[2] = (struct iovec){ parents, count * sizeof(parents[0]) };
	parts[3] = (struct iovec){ heads[2], (size_t)(put[2].at - heads[2]) };
	parts[4] = (struct iovec){ pcs, count * sizeof(pcs[0]) };
	return ht_link_send(parts, 5) == 0;
}

static bool node_complete(uint32_t number)
{
	for (unsigned i = 0; i < HOLE_SPINS; i++)
		if (__atomic_load_n(&nodes[number].pc, __ATOMIC_ACQUIRE))
			return true;
	return false;
}

void ht_stacks_send(void)
{
	uint32_t to = __atomic_load_n(&node_next, __ATOMIC_ACQUIRE), first, count;

	if (!ht_stack_depth || !ht_modules_send())
		return;
	for (unsigned i = 0; i < holes_used;) {
		if (!__atomic_load_n(&nodes[holes[i]].pc, __ATOMIC_ACQUIRE)) {
			i++;
			continue;
		}
		if (!send_nodes(holes[i], 1))
			return;
		holes[i] = holes[--holes_used];
	}
	while (sent_to < to) {
		first = sent_to;
		for (count = 0; first + count < to && count < NODES_A_FRAME; count++)
			if (!node_complete(first + count))
				break;
		if (count) {
			if (!send_nodes(first, count))
				return;
			sent_to += count;
		} else if (holes_used < HOLES_MAX) {
			/* Another thread is about to fill it in; what it means comes later. */
			holes[holes_used++] = sent_to++;
		} else {
			return;
		}
		__atomic_store_n(&head->nodes_sent, holes_used ? holes[0] : sent_to,
				 __ATOMIC_RELAXED);
	}
}
