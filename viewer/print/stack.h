/* A stack for people. */
#ifndef HEAPTAPE_VIEWER_PRINT_STACK_H
#define HEAPTAPE_VIEWER_PRINT_STACK_H

#include "viewer/model/profile.h"

/* One line per frame, indented, at most `width` wide (0: any), as a heap copy. */
char *stack_lines(const struct profile *profile, uint32_t stack, int indent, int width);

#endif
