/*
 * What happened to the heap between two moments A and B, by call stack and by call site. Each block that
 * was live at A, or was allocated after A and not after B, is of one kind. A block that was resized counts
 * as freed and allocated anew.
 */
#ifndef HEAPTAPE_VIEWER_MODEL_GROWTH_H
#define HEAPTAPE_VIEWER_MODEL_GROWTH_H

#include "viewer/model/filter.h"
#include "viewer/model/profile.h"
#include "viewer/model/rows.h"

enum growth_kind {
	GROWTH_GREW,	  /* allocated after A, live at B */
	GROWTH_SHRANK,	  /* live at A, freed by B */
	GROWTH_TRANSIENT, /* allocated after A, freed by B */
	GROWTH_KEPT,	  /* live at both */
	GROWTH_KINDS
};

struct growth_sum {
	int64_t blocks, bytes;
};

struct growth_total {
	uint32_t stack;
	struct growth_sum of[GROWTH_KINDS];
};

struct growth {
	int64_t from_ns, to_ns;
	struct growth_total *totals; /* one per stack that has any */
	size_t count;
	struct growth_sum sums[GROWTH_KINDS];
	int64_t ageless; /* blocks left out: it is not known when they were allocated */
};

/* The moment where a question begins that names none: the run's first mark, in *ret_label a heap copy of
 * its text; else -1, the run's beginning, and NULL. */
int growth_from(struct db *db, const struct run *run, int64_t *ret_from_ns, char **ret_label,
		struct error *error);

/*
 * One pass over the table `allocations`; memory grows with the stacks, not with the blocks. process_id 0:
 * of all processes; threads: of blocks that these allocated (thread.h), NULL: of all; from_ns -1: the run's beginning; to_ns INT64_MAX: its end. The profile, which is not
 * changed, has the stacks. db_register() comes first. -EINVAL: from_ns is after to_ns.
 */
int growth_load(struct db *db, const struct run *run, int64_t process_id, const char *threads,
		int64_t from_ns, int64_t to_ns, const struct profile *profile,
		struct growth *ret_growth, struct error *error);
void growth_release(struct growth *growth); /* harmless when it is all zero */

/* Removes all other stacks. */
void growth_filter(struct growth *growth, const struct filter *filter,
		   const struct profile *profile);

/* Bytes, or blocks, live at B less those live at A. */
struct growth_sum growth_change(const struct growth_sum of[GROWTH_KINDS]);

/* All stacks whose call site (profile_site) has the same text. */
struct growth_site {
	char *text;
	uint32_t frame; /* one of its frames */
	uint32_t stacks;
	uint32_t main_stack; /* the stack with the greatest effect, and how many bytes it is */
	int64_t main_bytes;
	struct growth_sum of[GROWTH_KINDS];
};

/* Which sites a list has, and which of them come first. */
enum growth_list {
	GROWTH_LIST_ALL, /* by the size of their change, then by what grew, came and went, stayed */
	GROWTH_LIST_GREW,      /* those with more live bytes at B than at A */
	GROWTH_LIST_SHRANK,    /* those with fewer */
	GROWTH_LIST_TRANSIENT, /* those with blocks that came and went */
	GROWTH_LIST_KEPT       /* those with blocks that stayed */
};

/* *ret_sites is a heap array, sorted. */
size_t growth_sites(const struct growth *growth, const struct profile *profile,
		    enum growth_list list, struct growth_site **ret_sites);
void growth_sites_free(struct growth_site *sites, size_t count);

/* A site by name; the texts are the site's and the profile's. */
struct growth_row {
	const char *site, *function, *file, *module; /* all but `site` may be NULL */
	int64_t line, stacks, main_stack_id;	     /* line: UNKNOWN if it is */
	struct growth_sum change, of[GROWTH_KINDS];
};
extern const struct row_field growth_fields[];
void growth_row_fill(struct growth_row *ret_row, const struct profile *profile,
		     const struct growth_site *site);

#endif
