/*
 * Other allocators in the process: the C library's own, which objects loaded with RTLD_DEEPBIND find
 * before ours, and one that the program was linked with.
 */
#ifndef HEAPTAPE_SHIM_MISUSE_FOREIGN_H
#define HEAPTAPE_SHIM_MISUSE_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "shim/record/hello.h"

/* Finds the allocator behind us, and counts the names; before there are threads. It is given the functions
 * by which the program reaches ours. */
void ht_foreign_init(void *(*own_malloc)(size_t), size_t (*own_usable_size)(void *));

/* What our malloc_usable_size says of HT_OWN_PROBE, which is no block: so it is we who answer. */
#define HT_OWN_PROBE ((void *)&ht_foreign)
#define HT_OWN_ANSWER ((size_t)0x68656170)

/* True when a tool that translates the program's code has put other functions in the place of ours. */
bool ht_foreign_replaces(void);

/* True when p, which is not ours, is to all appearances a block of the allocator behind us. */
bool ht_foreign_owns(const void *p);

/* Frees, or tells the usable size of, a block that ht_foreign_owns() approved. */
void ht_foreign_free(void *p);
size_t ht_foreign_usable(void *p);

/* Moves such a block to our heap; NULL for one that is not, and as realloc does. */
void *ht_foreign_realloc(void *p, size_t size_bytes);

/*
 * An object was loaded into a namespace of its own, where there is a C library of its own, too: tells
 * the daemon what file it is, unless its malloc is ours all the same. handle NULL: it will be loaded.
 */
void ht_foreign_namespace(void *handle, const char *file);

/* From now on the C library's names of malloc's family mean our functions, too: for those who look
 * there first, or only there. */
void ht_foreign_rename(void);

#endif
