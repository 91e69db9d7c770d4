/*
 * A file that a command writes, or standard output. An SQLite file, and the files SQLite keeps
 * beside one, are never overwritten: they may be somebody's recordings.
 */
#ifndef HEAPTAPE_VIEWER_PRINT_OUTPUT_H
#define HEAPTAPE_VIEWER_PRINT_OUTPUT_H

#include <stdio.h>

#include "viewer/error.h"

/* NULL and "-" are standard output. -EEXIST: the file is SQLite's. */
int output_open(const char *path, FILE **ret_out, struct error *error);
int output_close(FILE *out, const char *path, struct error *error);

/* Standard output becomes `path` until the process ends; NULL and "-" change nothing. */
int output_redirect(const char *path, struct error *error);
/* What standard output is called in a message: the redirected path or "standard output". */
const char *output_name(void);

#endif
