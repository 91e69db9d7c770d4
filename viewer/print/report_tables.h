/* The tables of `heaptape report`: processes, threads, sizes, call sites. */
#ifndef HEAPTAPE_VIEWER_PRINT_REPORT_TABLES_H
#define HEAPTAPE_VIEWER_PRINT_REPORT_TABLES_H

#include <sqlite3.h>

#include "viewer/model/profile.h"
#include "viewer/model/site.h"
#include "viewer/print/table.h"

/* In order of time; only the `most` recorded ones with the most allocations (0: all, recorded or not). */
struct table *processes_table(sqlite3 *db, const struct run *run, int64_t most);
/* The programs of which nothing is recorded, and why. */
struct table *unrecorded_table(sqlite3 *db, const struct run *run, int64_t most);
/* The `most` (0: all) with the most allocations. */
struct table *threads_table(sqlite3 *db, const struct run *run, int64_t most);
/* As the store counts them (exact), or in a few bands for the screen. */
struct table *sizes_table(sqlite3 *db, const struct run *run);
struct table *size_bands_table(sqlite3 *db, const struct run *run);
/* Why stacks were cut short, and how often. */
struct table *stack_cuts_table(sqlite3 *db, const struct run *run);

/* All call sites with every number, for JSON and CSV. */
struct table *sites_table(const struct profile *profile, const struct site *sites, size_t count);

/* A list of the top call sites by one metric. */
struct site_list {
	const char *title;
	enum metric metric;	  /* sorted by */
	enum metric second;	  /* shown beside */
	struct column columns[4]; /* metric, share, second, site */
};
extern const struct site_list site_lists[];
extern const size_t site_list_count;

/* The list's first `most` rows; sorts `sites`. `stacks`: with the whole stack under each. NULL when
 * no site has any of it. */
struct table *site_list_table(const struct site_list *list, const struct profile *profile,
			      struct site *sites, size_t count, int64_t most, bool stacks);

#endif
