/*
 * The exported names under their names in unit tests, where malloc itself stays the C library's.
 */
#ifndef HEAPTAPE_SHIM_API_MALLOC_H
#define HEAPTAPE_SHIM_API_MALLOC_H

#include "shim/alloc/types.h"

#if defined(HT_UNIT_TEST) && HT_UNIT_TEST
#include <malloc.h>
#include <stdio.h>

void *ht_api_malloc(size_t size_bytes);
void ht_api_free(void *block);
void *ht_api_calloc(size_t count, size_t size_bytes);
void *ht_api_realloc(void *old, size_t size_bytes);
void *ht_api_reallocarray(void *old, size_t count, size_t size_bytes);
void *ht_api_memalign(size_t alignment, size_t size_bytes);
void *ht_api_aligned_alloc(size_t alignment, size_t size_bytes);
int ht_api_posix_memalign(void **ret, size_t alignment, size_t size_bytes);
void *ht_api_valloc(size_t size_bytes);
void *ht_api_pvalloc(size_t size_bytes);
size_t ht_api_malloc_usable_size(void *block);
#define ht_own_usable_size ht_api_malloc_usable_size
int ht_api_malloc_trim(size_t pad);
int ht_api_mallopt(int option, int value);
struct mallinfo2 ht_api_mallinfo2(void);
struct mallinfo ht_api_mallinfo(void);
void ht_api_malloc_stats(void);
int ht_api_malloc_info(int options, FILE *stream);
#else
/* Our malloc_usable_size, also in a program that has one of its own. */
size_t ht_own_usable_size(void *block);
#endif

/* A second exported name for an exported function of the same file. */
#define API_TWIN(name, target)         \
	extern __typeof__(target) name \
		__attribute__((visibility("default"), alias(#target), copy(target)));

#endif
