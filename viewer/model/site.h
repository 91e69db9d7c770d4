/*
 * Call sites: who is said to have allocated. Not malloc, not operator new, not the container's
 * allocator, but the code that used them: profile_site() of a stack.
 */
#ifndef HEAPTAPE_VIEWER_MODEL_SITE_H
#define HEAPTAPE_VIEWER_MODEL_SITE_H

#include <stddef.h>
#include <stdint.h>

#include "viewer/model/profile.h"
#include "viewer/model/rows.h"

/* All stacks whose site has the same text. */
struct site {
	char *text;	/* "parse_value json.c:88" */
	uint32_t frame; /* one of its frames */
	uint32_t stacks;
	uint32_t main_stack; /* the stack that allocated most bytes, and how many */
	int64_t main_bytes;
	int64_t values[METRIC_COUNT];
	size_t function;	/* the same for the lines of one function (sites_sort_functions) */
	int64_t function_value; /* what its lines have together */
};

/* Groups the profile's totals; *ret_sites is a heap array. */
size_t sites_group(const struct profile *profile, struct site **ret_sites);
void sites_free(struct site *sites, size_t count);
/* Most of `metric` first. */
void sites_sort(struct site *sites, size_t count, unsigned metric);
/* The lines of a function side by side: functions with most of `metric` first, their lines likewise. */
void sites_sort_functions(const struct profile *profile, struct site *sites, size_t count,
			  unsigned metric);

/* What can be said of a site, by name; the texts are the site's and the profile's. */
struct site_row {
	const char *site, *function, *file, *module; /* all but `site` may be NULL */
	int64_t line, stacks, main_stack_id;	     /* line: UNKNOWN if it is */
	double share;				     /* of the profile's sum of a metric */
	int64_t values[METRIC_COUNT];		     /* by the names of stack_totals' columns */
};
extern const struct row_field site_fields[];
void site_row_fill(struct site_row *ret_row, const struct profile *profile, const struct site *site,
		   enum metric share_of);

#endif
