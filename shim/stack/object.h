/*
 * Which object an address lies in. Asked of _dl_find_object, which takes no lock. Where libc has none
 * (before glibc 2.35) only what was there when the objects were listed is known.
 */
#ifndef HEAPTAPE_SHIM_STACK_OBJECT_H
#define HEAPTAPE_SHIM_STACK_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/stack/eh_frame.h"

struct link_map;

/* False: in none. */
bool ht_object_find(uintptr_t address, struct eh_object *ret, const struct link_map **ret_map);

/* Notes what the program was loaded with. Once, the dynamic linker's lock must be free. */
void ht_objects_list(void);

#endif
