/* A run's report for programs: everything that report_text() says, and all rows of each list. */
#ifndef HEAPTAPE_VIEWER_PRINT_REPORT_JSON_H
#define HEAPTAPE_VIEWER_PRINT_REPORT_JSON_H

#include <stdio.h>

#include "viewer/model/profile.h"
#include "viewer/model/site.h"
#include "viewer/model/suppress.h"

/* `kept`: live, but left out of the profile (suppress_kept_live). After an error, what is written is not
 * whole. */
int report_json(FILE *out, struct db *db, const struct run *run, const struct profile *profile,
		const struct site *sites, size_t count, const struct suppressed *kept,
		struct error *error);

#endif
