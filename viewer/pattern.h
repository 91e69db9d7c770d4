/*
 * Patterns for names: found anywhere in a text; '*' stands for any characters, '^' and '$' pin the
 * pattern to the text's beginning and end.
 */
#ifndef HEAPTAPE_VIEWER_PATTERN_H
#define HEAPTAPE_VIEWER_PATTERN_H

#include <stdbool.h>

bool pattern_matches(const char *pattern, const char *text);

#endif
