/*
 * The tree of call stacks: nodes (parent, pc), interned by content. They are written into the
 * shared memory (proto/ring.h) so that the daemon can read them after a crash, and go through the
 * socket as StackNodes frames before the first batch that uses them.
 *
 * Invariant: a node's number is known to a thread only after the node is complete in the shared
 * memory; the module its pc lies in was noted (shim/stack/modules.h) before that.
 */
#ifndef HEAPTAPE_SHIM_STACK_STACK_TABLE_H
#define HEAPTAPE_SHIM_STACK_STACK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "proto/event.h"
#include "proto/ring.h"
#include "shim/ring.h"
#include "shim/stack/select.h"

/* Frames a stack can have; HEAPTAPE_DEPTH lowers it. Interpreters and compilers go deep: python3's
 * own tests need 2,007, C++ templates some 400, and every stack that is cut makes nodes anew for
 * all its frames, because none of them hangs where it hung before. */
#define STACK_DEPTH_MAX 4096

/* So wide a node number is where it is kept beside a block (shim/record/record.h). */
#define NODE_NUMBER_BITS 28

/*
 * Begins a table in this shared memory: at the start, and again in a fork child, whose connection
 * knows no node yet (what the parent numbered is forgotten). depth: frames kept, 0 for the most;
 * taken from HEAPTAPE_DEPTH by the caller. No other thread may capture meanwhile.
 */
void ht_stacks_attach(struct ring *ring, unsigned depth);

/* No table any more: captures yield 0. */
void ht_stacks_detach(void);

/* True when there are modules or nodes that have not gone through the socket. */
bool ht_stacks_pending(void);

/* Sends them with ht_link_send(). The caller holds the connection's send lock. */
void ht_stacks_send(void);

/*
 * The same for a frame that the caller sends together with another, because each call costs more
 * than the nodes that a batch usually brings: how many nodes are pending, and the frame with all of
 * them. 0: they do not go into one frame just now, ht_stacks_send() must be used. Under the send
 * lock, which is held until ht_stacks_frame_sent() says that they were taken.
 */
#define STACKS_PARTS 7
uint32_t ht_stacks_frame(struct iovec parts[STACKS_PARTS]);
void ht_stacks_frame_sent(uint32_t count);

/* -- for unwind.c -- */

extern unsigned ht_stack_depth; /* frames kept; 0: no table */

/*
 * A node's hash is made of its whole path, from the outermost frame on, in two words that do not
 * depend on one another and begin with what the kernel chose at random for this process. 96 bits of
 * it are compared: that two paths share them is less likely than a fault of the memory they are in.
 * So a stack is looked up once, whatever its depth, and the nodes between are asked for only when
 * it is new.
 */
struct node_hash {
	uint64_t place;
	uint64_t proof;
};

/* The hash of no node (number 0). */
extern struct node_hash ht_node_root;

static inline struct node_hash ht_node_hash(struct node_hash parent, uint64_t pc)
{
	uint64_t place = (parent.place ^ pc) * 0x9e3779b97f4a7c15ull;
	uint64_t proof = (parent.proof + pc) * 0xd6e8feb86659fd93ull;

	return (struct node_hash){ place ^ place >> 32, proof ^ proof >> 32 };
}

static inline bool ht_node_hash_same(struct node_hash a, struct node_hash b)
{
	return ((a.place ^ b.place) | (a.proof ^ b.proof)) == 0;
}

/*
 * Where the numbers are found: an open-addressed hash. Stacks that were captured are in one of
 * their own, because it is looked at all the time and should stay in the cache; the nodes of all
 * paths are in another, which is looked at when a stack is new.
 */
struct stack_slot {
	uint64_t place; /* node_hash.place, never 0 */
	uint64_t link;	/* half of node_hash.proof << 32 | number, 0: not filled yet */
};

/* What is this far from its place is not looked for. */
#define STACK_PROBES 256

struct stack_index {
	unsigned bits;
	uint32_t used;
	uint32_t limit; /* of `used`, from which on it is too full */
	struct stack_slot *slots;
};

extern struct stack_index *ht_stack_index;

static inline uint64_t slot_place(struct node_hash hash)
{
	return hash.place | 1;
}

/* The high bits of a product, which are its best. A slot and its neighbour are looked at together. */
static inline size_t slot_home(uint64_t place, const struct stack_index *index)
{
	return (size_t)(place * 0xbf58476d1ce4e5b9ull >> (64 - index->bits)) & ~(size_t)1;
}

static inline uint32_t stack_index_find(const struct stack_index *index, struct node_hash hash)
{
	uint64_t want = slot_place(hash);
	size_t mask = ((size_t)1 << index->bits) - 1;

	for (size_t at = slot_home(want, index), left = STACK_PROBES; left;
	     at = (at + 2) & mask, left -= 2) {
		const struct stack_slot *slot = &index->slots[at];
		uint64_t place = __atomic_load_n(&slot[0].place, __ATOMIC_RELAXED);
		uint64_t second = __atomic_load_n(&slot[1].place, __ATOMIC_RELAXED);
		uint64_t link = __atomic_load_n(&slot[0].link, __ATOMIC_ACQUIRE);

		/* Which of the two it is cannot be predicted. */
		link = select_if_same(second, want,
				      __atomic_load_n(&slot[1].link, __ATOMIC_ACQUIRE), link);
		place = select_if_same(second, want, want, place);
		if (__builtin_expect(place == want, 1) &&
		    __builtin_expect(link >> 32 == hash.proof >> 32 && (uint32_t)link, 1))
			return (uint32_t)link;
		if (!place || !second)
			break;
	}
	return 0;
}

/* The number of the stack with this hash; 0: it is new. A table must be there. */
static inline uint32_t ht_stack_find(struct node_hash hash)
{
	return stack_index_find(__atomic_load_n(&ht_stack_index, __ATOMIC_ACQUIRE), hash);
}

/* Lets ht_stack_find() find it. */
void ht_stack_note(struct node_hash hash, uint32_t number);

/* The number of the node with this hash; 0: there is none yet. */
uint32_t ht_node_find(struct node_hash hash);

/* The same; it is made of (parent, pc) if need be. by_fp: its parent was found by the frame pointer.
 * 0: the table is full. */
uint32_t ht_node_intern(uint32_t parent, uint64_t pc, bool by_fp, struct node_hash hash);

/* Nodes whose path has a pc in [start, end) get new numbers from now on: another module will be
 * there. */
void ht_nodes_drop(uintptr_t start, uintptr_t end);

/* Counts a stack that was cut short. */
void ht_stack_count_cut(enum stack_cut reason);

#endif
