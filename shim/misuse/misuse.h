/*
 * Misuse of the heap by the program: one message on stderr, a row in the recording, then abort;
 * with HEAPTAPE_ON_ERROR=continue it is counted and the call does nothing.
 */
#ifndef HEAPTAPE_SHIM_MISUSE_MISUSE_H
#define HEAPTAPE_SHIM_MISUSE_MISUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/event.h"

/* How often the program misused its heap, when it goes on after that. */
extern uint64_t ht_misuses;

struct misuse {
	enum misuse_kind kind;
	const char *call;  /* the function that noticed */
	uintptr_t address; /* what the program handed over, or wrote to */

	/* The block it concerns, as far as known; 0 and false what is not. */
	uintptr_t block;
	size_t size_bytes;
	bool size_known;       /* else it is the usable size */
	uint32_t allocated_by; /* thread */
	uint32_t allocated_stack;
	uint32_t freed_stack;
	bool is_freed;
	size_t beyond_bytes; /* overflow: how far behind the end the last byte written lies; written
			      * after free: how many bytes, from `address` on; 0 unknown */

	uint32_t stack; /* where it was noticed */
};

/* -- misuse_tell.c -- */

/* Says it on stderr, with the stacks, and tells the daemon. */
void ht_misuse_tell(const struct misuse *misuse);

/* The Misuse frame, its length included; returns its bytes. */
#define MISUSE_FRAME_BYTES 512
size_t ht_misuse_frame(uint8_t *out, const struct misuse *misuse, uint64_t ticks, uint32_t thread,
		       const char *text, size_t text_bytes);

/* -- misuse.c -- */

/* A freed block was handed to `call`: tells, and ends the report. */
struct span;
void ht_misuse_of_freed(const void *block, const struct span *span, const char *call);

/* The end of a report that was told: abort, or count. */
void ht_misuse_end(void);

#endif
