/*
 * Functions that the user says wrap an allocator, so that their callers are the call sites: one name a
 * line, with or without its parameters; '*' stands for any characters, '#' begins a comment. Without a
 * file of that kind there are none.
 */
#ifndef HEAPTAPE_VIEWER_MODEL_WRAPPERS_H
#define HEAPTAPE_VIEWER_MODEL_WRAPPERS_H

#include <stdbool.h>
#include <stddef.h>

#include "viewer/error.h"

struct wrappers {
	char **patterns;
	size_t count;
};

/* `path` NULL: $XDG_CONFIG_HOME/heaptape/wrappers (~/.config/heaptape/wrappers) if it can be read. */
int wrappers_load(const char *path, struct wrappers *ret_wrappers, struct error *error);
void wrappers_release(struct wrappers *wrappers);

bool wrappers_have(const struct wrappers *wrappers, const char *function);

#endif
