/* Text on a terminal: width, shortening, and nothing in it that could steer the terminal. */
#ifndef HEAPTAPE_VIEWER_PRINT_TEXT_H
#define HEAPTAPE_VIEWER_PRINT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Columns that text takes on a terminal. */
size_t text_width(const char *text);
/* Writes text as valid UTF-8, with U+FFFD for each byte that is not; with `no_controls` control
 * characters, which could steer a terminal, are written as '?'. */
void text_write(FILE *out, const char *text, size_t bytes, bool no_controls);
char *text_utf8(const char *text); /* a heap copy, valid UTF-8 */
enum fit {
	FIT_START, /* the start is kept */
	FIT_END,
	FIT_NAME /* of a function, and its place: arguments are folded, f<…>(…), then scopes left out */
};
/* A heap copy without control characters, shortened with … to `width` columns (0: no limit). */
char *text_fit(const char *text, size_t width, enum fit fit);

#endif
