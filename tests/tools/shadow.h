/*
 * A program's own account of its call stacks, to compare recorded ones with: each function pushes
 * its return address when it begins, and each allocation notes what had been pushed. The account
 * of a thread is one file, mapped by the program and read by tests/tools/shadow.c.
 *
 * Stacks are interned as a tree, so that a note is one word. A signal handler has a tree of its
 * own (a level), because it may interrupt the work on the one below; its root names the node of
 * what it interrupted, give or take the function that was just then being entered or left.
 */
#ifndef HEAPTAPE_TESTS_SHADOW_H
#define HEAPTAPE_TESTS_SHADOW_H

#include <stdint.h>

#define SHADOW_LEVELS 3
#define SHADOW_LEVEL_BITS 20
#define SHADOW_NODES ((uint32_t)SHADOW_LEVELS << SHADOW_LEVEL_BITS)
#define SHADOW_NOTES (1u << 23)

/* Allocations that count have these sizes: the lowest, and how many before they repeat. */
#define SHADOW_BYTES 1000u
#define SHADOW_BYTES_STEPS 4093u

/* In place of a return address. */
enum shadow_mark {
	SHADOW_NONE,	/* the root */
	SHADOW_FOREIGN, /* frames of other objects, one or more */
	SHADOW_ANY,	/* one frame of the program, anywhere: it called another object */
	SHADOW_SIGNAL,	/* what the parent names was interrupted */
	SHADOW_CUT,	/* nobody can unwind further: code without unwind rows */
	SHADOW_UNSURE,	/* interrupted where the account may be behind: a stack is being left */
	SHADOW_MARKS
};

struct shadow_node {
	uint32_t parent;
	uint32_t reserved;
	uint64_t ret; /* return address, or enum shadow_mark */
};

/* A note: node | site << SHADOW_SITE_SHIFT. The site stands for the call of malloc itself, whose
 * return address no function can push: one site is always one address. */
#define SHADOW_SITE_SHIFT 24
enum shadow_site {
	SHADOW_NO_FRAME,	   /* a tail call: the node is the whole stack */
	SHADOW_ANY_FRAME,	   /* one frame of the program, anywhere */
	SHADOW_FIRST_SITE,	   /* and so on */
	SHADOW_FOREIGN_SITE = 128, /* from here on: foreign frames first */
};

struct shadow_file {
	uint64_t base;	     /* the program's load bias */
	uint64_t start, end; /* its code and data */
	uint64_t entry;	     /* _start: the outermost frame of the first thread */
	uint32_t notes_used;
	uint32_t nodes_used[SHADOW_LEVELS];
	struct shadow_node nodes[SHADOW_NODES]; /* number: level << SHADOW_LEVEL_BITS | index */
	uint32_t notes[SHADOW_NOTES];
};

#endif
