/*
 * The objects that return addresses of captured stacks lie in. An object is noted when the first
 * row for a place in it is compiled, that is before the first stack node that points into it, and
 * sent before that node.
 */
#ifndef HEAPTAPE_SHIM_STACK_MODULES_H
#define HEAPTAPE_SHIM_STACK_MODULES_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/stack/eh_frame.h"

/* The object an address lies in; notes it. False: in none. */
bool ht_module_find(uintptr_t address, struct eh_object *ret);

/* The object an address lies in, which is not noted for that. False: in none. */
struct link_map;

struct module_at {
	const char *path;
	const struct link_map *map;
	uintptr_t start;
};

bool ht_module_at(uintptr_t address, struct module_at *ret);

/* A copy that stays when the dynamic linker's is gone; a relative path is made absolute. */
const char *ht_path_keep(const char *name);

/* Around dlclose: between the two nothing remembered is trusted. The end drops what is about
 * objects that are gone, and marks them as unloaded. */
void ht_modules_unload_begin(void);
void ht_modules_unload_end(void);

/* A file that is about to be loaded: while it has a name, the daemon is given a descriptor of it. Not for
 * those of the system's folders, which stay. */
void ht_module_offer(const char *path);

/* Nothing was sent yet: a new connection. */
void ht_modules_attach(void);

bool ht_modules_pending(void);

/* Sends what is pending. Send lock held. True when all of it was taken. */
bool ht_modules_send(void);

#endif
