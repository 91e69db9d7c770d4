/*
 * What a place in the program is called, as far as the process itself can tell without a lock and
 * without allocating: the file it lies in, and the function around it by the file's symbol table or
 * the exported names. The daemon knows more, later.
 */
#ifndef HEAPTAPE_SHIM_STACK_PLACE_H
#define HEAPTAPE_SHIM_STACK_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#define PLACE_NAME_BYTES 160

struct place {
	const char *path;	       /* of the object */
	uintptr_t offset;	       /* from its load address */
	char symbol[PLACE_NAME_BYTES]; /* "": not known; cut when it is longer */
	uintptr_t symbol_offset;
};

/* pc: a return address. False: it lies in no object (code made at run time, or unloaded). */
bool ht_place_find(uintptr_t pc, struct place *ret);

#endif
