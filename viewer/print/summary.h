/* The short block printed after a run. */
#ifndef HEAPTAPE_VIEWER_PRINT_SUMMARY_H
#define HEAPTAPE_VIEWER_PRINT_SUMMARY_H

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>

#include "viewer/model/run.h"

struct summary_context {
	const char *database;
	int64_t still_running;	  /* processes that outlive the program */
	int64_t summary_after_ns; /* from the program's end to now */
};

void summary_print(FILE *out, sqlite3 *db, const struct run *run,
		   const struct summary_context *context);

/* "none lost", "12 lost" as reports say it. */
const char *lost_text(const struct run *run);

/* The option that names the database in a command to type: "" for the default. */
const char *database_option(const char *database);

/* A word as a shell needs it: quoted when it must be. Static buffer ring as in format.h for short
 * words; longer ones are shortened. */
const char *shell_word(const char *word);

#endif
