/* The short block printed after a run. */
#ifndef HEAPTAPE_VIEWER_PRINT_SUMMARY_H
#define HEAPTAPE_VIEWER_PRINT_SUMMARY_H

#include <stdint.h>
#include <stdio.h>

#include "viewer/model/run.h"

struct summary_context {
	const char *database;
	int64_t still_running;	  /* processes that outlive the program */
	int64_t summary_after_ns; /* from the program's end to now */
};

int summary_print(FILE *out, struct db *db, const struct run *run,
		  const struct summary_context *context, struct error *error);

#endif
