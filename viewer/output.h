/* A file that a command writes, or standard output. */
#ifndef HEAPTAPE_VIEWER_OUTPUT_H
#define HEAPTAPE_VIEWER_OUTPUT_H

#include <stdio.h>

/* NULL and "-" are standard output. Dies when it cannot. */
FILE *output_open(const char *path);
void output_close(FILE *out, const char *path);

#endif
