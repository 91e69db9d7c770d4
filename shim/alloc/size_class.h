/*
 * Size classes: steps of 16 bytes up to 256, then eight steps a doubling up to SMALL_MAX_BYTES, so
 * at most 1/9 of a block is lost to rounding. Everything here is arithmetic, no table.
 */
#ifndef HEAPTAPE_SHIM_ALLOC_SIZE_CLASS_H
#define HEAPTAPE_SHIM_ALLOC_SIZE_CLASS_H

#include "shim/alloc/types.h"

/* Class of a request of 0 .. SMALL_MAX_BYTES bytes. */
static inline unsigned size_class_of(size_t size_bytes)
{
	size_t last = size_bytes ? size_bytes - 1 : 0;
	unsigned shift;

	if (last < 256)
		return (unsigned)(last >> 4) + 1;
	shift = 63 - (unsigned)__builtin_clzl(last); /* >= 8 */
	return ((shift - 8) << 3) + (unsigned)(last >> (shift - 3)) + 9;
}

/* Block size of class 1 .. CLASS_COUNT. */
static inline size_t size_class_bytes(unsigned class)
{
	unsigned above;

	if (class <= 16)
		return (size_t) class << 4;
	above = class - 17;
	return (size_t)(9 + (above & 7)) << (5 + (above >> 3));
}

#endif
