/*
 * What a place in the program is called, as far as the process itself can tell without a lock and
 * without allocating: the file it lies in, and the exported function around it. The daemon knows
 * more, later.
 */
#ifndef HEAPTAPE_SHIM_PLACE_H
#define HEAPTAPE_SHIM_PLACE_H

#include <stdbool.h>
#include <stdint.h>

struct place {
	const char *path;   /* of the object */
	uintptr_t offset;   /* from its load address */
	const char *symbol; /* NULL: not exported */
	uintptr_t symbol_offset;
};

/* pc: a return address. False: it lies in no object (code made at run time, or unloaded). */
bool ht_place_find(uintptr_t pc, struct place *ret);

#endif
