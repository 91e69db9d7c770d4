/* Strings to small numbers: equal strings get the same number, counted from 0. */
#ifndef HEAPTAPE_VIEWER_INTERN_H
#define HEAPTAPE_VIEWER_INTERN_H

#include <stddef.h>

struct intern;

struct intern *intern_new(void);
void intern_free(struct intern *intern);
/* The string's number; a new string gets the number intern_count() was before. */
size_t intern_put(struct intern *intern, const char *text);
size_t intern_count(const struct intern *intern);
const char *intern_text(const struct intern *intern, size_t number);

#endif
