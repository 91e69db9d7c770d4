/*
 * The tables of `heaptape report`: processes, threads, sizes, call sites. What each shows on the screen,
 * in JSON and in CSV is its table of columns here; the columns are filled by name (model/lists.h).
 */
#ifndef HEAPTAPE_VIEWER_PRINT_REPORT_TABLES_H
#define HEAPTAPE_VIEWER_PRINT_REPORT_TABLES_H

#include "viewer/model/profile.h"
#include "viewer/model/site.h"
#include "viewer/print/table.h"

/* In order of time; only the `most` recorded ones with the most allocations (0: all, recorded or not). */
int processes_table(struct db *db, const struct run *run, int64_t most, struct table **ret_table,
		    struct error *error);
/* The programs of which nothing is recorded, and why. */
int unrecorded_table(struct db *db, const struct run *run, int64_t most, struct table **ret_table,
		     struct error *error);
/* The `most` (0: all) with the most allocations. */
int threads_table(struct db *db, const struct run *run, int64_t most, struct table **ret_table,
		  struct error *error);
/* As the store counts them (exact), or in a few bands for the screen. */
int sizes_table(struct db *db, const struct run *run, struct table **ret_table,
		struct error *error);
int size_bands_table(struct db *db, const struct run *run, struct table **ret_table,
		     struct error *error);
/* Why stacks were cut short, and how often. */
int stack_cuts_table(struct db *db, const struct run *run, struct table **ret_table,
		     struct error *error);
/* Times without recording, by process, in order; the first `most` (0: all). */
int gaps_table(struct db *db, const struct run *run, int64_t most, struct table **ret_table,
	       struct error *error);

/* All call sites with every number, for JSON and CSV. */
struct table *sites_table(const struct profile *profile, const struct site *sites, size_t count);

/* A list of the top call sites by one metric. */
struct site_list {
	const char *title;
	enum metric metric;	  /* sorted by */
	struct column columns[4]; /* metric, share, another metric, site */
};
extern const struct site_list site_lists[];
extern const size_t site_list_count;

/* The list's first `most` rows; sorts `sites`. `stacks`: with the whole stack under each. NULL when
 * no site has any of it. */
struct table *site_list_table(const struct site_list *list, const struct profile *profile,
			      struct site *sites, size_t count, int64_t most, bool stacks);

#endif
