/*
 * The tree of call stacks: nodes (parent, pc), interned by content. They are written into the
 * shared memory (proto/ring.h) so that the daemon can read them after a crash, and go through the
 * socket as StackNodes frames before the first batch that uses them.
 *
 * Invariant: a node's number is known to a thread only after the node is complete in the shared
 * memory; the module its pc lies in was noted (shim/modules.h) before that.
 */
#ifndef HEAPTAPE_SHIM_STACK_TABLE_H
#define HEAPTAPE_SHIM_STACK_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/event.h"
#include "proto/ring.h"

/*
 * Begins a table in this shared memory: at the start, and again in a fork child, whose connection
 * knows no node yet (what the parent numbered is forgotten). depth: frames kept, 0 for the most;
 * taken from HEAPTAPE_DEPTH by the caller. No other thread may capture meanwhile.
 */
void ht_stacks_attach(struct ring_head *head, struct ring_node *nodes, unsigned depth);

/* No table any more: captures yield 0. */
void ht_stacks_detach(void);

/* True when there are modules or nodes that have not gone through the socket. */
bool ht_stacks_pending(void);

/* Sends them with ht_link_send(). The caller holds the connection's send lock. */
void ht_stacks_send(void);

/* -- for unwind.c -- */

extern unsigned ht_stack_depth; /* frames kept; 0: no table */

/*
 * A node's hash is made of its whole content, from the outermost frame on: so the places of all the
 * nodes of a path can be computed, and fetched, before the first of them is looked up. The hash of
 * no node (number 0) is 0.
 */
static inline uint64_t ht_node_hash(uint64_t parent_hash, uint64_t pc)
{
	uint64_t h = (parent_hash ^ pc) * 0x9e3779b97f4a7c15ull;

	return h ^ h >> 32;
}

/* Begins to fetch what ht_node_intern() will look at. */
void ht_node_prefetch(uint64_t hash);

/* The number of node (parent, pc), whose hash is given; 0 when the table is full. */
uint32_t ht_node_intern(uint32_t parent, uint64_t pc, uint64_t hash);

/* Nodes with a pc in [start, end) get new numbers from now on: another module will be there. */
void ht_nodes_drop(uintptr_t start, uintptr_t end);

/* Counts a stack that was cut short. */
void ht_stack_count_cut(enum stack_cut reason);

#endif
