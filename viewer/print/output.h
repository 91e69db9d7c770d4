/*
 * A file that a command writes, or standard output. An SQLite file, and the files SQLite keeps
 * beside one, are never overwritten: they may be somebody's recordings.
 */
#ifndef HEAPTAPE_VIEWER_PRINT_OUTPUT_H
#define HEAPTAPE_VIEWER_PRINT_OUTPUT_H

#include <stdio.h>

/* NULL and "-" are standard output. Dies when the file cannot be written. */
FILE *output_open(const char *path);
void output_close(FILE *out, const char *path);

/* Standard output becomes `path` until the process ends; NULL and "-" change nothing. */
void output_redirect(const char *path);
/* What standard output is called in a message: the redirected path or "standard output". */
const char *output_name(void);

#endif
