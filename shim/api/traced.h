/*
 * malloc and its family while recording. The exported names jump here (a tail call), so that the
 * frame these functions stand in is that of the program's call. They set errno as the exported
 * names must.
 */
#ifndef HEAPTAPE_SHIM_API_TRACED_H
#define HEAPTAPE_SHIM_API_TRACED_H

#include <stddef.h>

void *malloc_recorded(size_t size_bytes);
void *calloc_recorded(size_t count, size_t size_bytes);
void *realloc_recorded(void *old, size_t size_bytes);
void free_recorded(void *block);

/* alignment is a power of two: the exported names have seen to it. */
void *memalign_recorded(size_t alignment, size_t size_bytes);

/* 0, or ENOMEM, which is in errno too. */
int posix_memalign_recorded(void **ret, size_t alignment, size_t size_bytes);

#endif
