/*
 * The environment that a program to be started gets, so that it is recorded or not as --follow says.
 *
 *   exec (default)  as the program passes it
 *   all             with what the shim needs, whatever the program left out of it
 *   none            without it, in all but the first process and what that becomes by exec
 *
 * And in any case without a shim that the new program could not load (proto/image.h), or that is not to
 * be found from its root folder: the dynamic linker would complain there.
 *
 * The new environment lies on the caller's stack, because its memory is all that a vfork child may
 * write to.
 */
#ifndef HEAPTAPE_SHIM_API_FOLLOW_H
#define HEAPTAPE_SHIM_API_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/image.h"

#define FOLLOW_PATH_BYTES 1024

struct follow_plan {
	const char *preload; /* LD_PRELOAD=... as it is passed, or NULL */
	bool adds;	     /* what the shim needs */
	bool adds_run;	     /* only the token of the run, else takes away */
	bool loads;	     /* the new program gets the shim: it will say Hello, if it can */
	const char *path;    /* of the program */
	struct image image;  /* whether it will be recorded, and why not if that is to be told */
	char found[FOLLOW_PATH_BYTES]; /* what `path` points to, when it was searched for */
};

/* Remembers where the shim was loaded from; before there are threads. */
void ht_follow_init(char *const envp[]);

/* True when this process is not to be recorded: it is not the first one of --follow=none. */
bool ht_follow_leaves_out(void);

/* What is to be done to `envp` for a program at `path`, seen from `folder` as for execveat. search: a
 * path without a slash is looked for as execvp does. child: not this process becomes it, but a new one. Returns the bytes of memory
 * that ht_follow_make() needs; 0: pass it as it is. */
size_t ht_follow_plan(struct follow_plan *plan, int folder, const char *path, bool search,
		      char *const envp[], bool child);

/* A child that is no fork is about to become such a program; it did not. */
void ht_follow_announce(const struct follow_plan *plan);
void ht_follow_failed(const struct follow_plan *plan);

/* The new environment, in `memory`. Its strings are those of `envp`, where they stay the same. */
char *const *ht_follow_make(const struct follow_plan *plan, char *const envp[], void *memory);

#endif
