/*
 * Functions that the user says wrap an allocator, so that their callers are the call sites: one name a
 * line, with or without its parameters; '*' stands for anything, '#' begins a comment. From --wrappers
 * FILE, else from $XDG_CONFIG_HOME/heaptape/wrappers (~/.config/heaptape/wrappers) if there is one.
 */
#ifndef HEAPTAPE_VIEWER_MODEL_WRAPPERS_H
#define HEAPTAPE_VIEWER_MODEL_WRAPPERS_H

#include <stdbool.h>

/* Reads the file, once. Dies when it was asked for and cannot be read. */
void wrappers_load(void);
bool wrappers_have(const char *function);

#endif
