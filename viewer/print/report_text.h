/* A run's report for people. */
#ifndef HEAPTAPE_VIEWER_PRINT_REPORT_TEXT_H
#define HEAPTAPE_VIEWER_PRINT_REPORT_TEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "viewer/model/profile.h"
#include "viewer/model/suppress.h"

struct report_options {
	int64_t top;		     /* rows of each list */
	bool stacks;		     /* with the whole stack of each call site */
	const char *database_option; /* print/shell.h */
	struct suppressed kept;	     /* live, but left out of the profile (suppress_kept_live) */
};

/* False: the run recorded nothing, and report_text() needs no profile. */
bool report_has_profile(const struct run *run);
int report_text(FILE *out, struct db *db, const struct run *run, const struct profile *profile,
		const struct report_options *options, struct error *error);

#endif
