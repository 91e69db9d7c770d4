/*
 * What a file begins with, as one number: a mapped object and a descriptor of the file it was mapped from
 * have the same. The shim computes it of the memory, the daemon of the file (messages Module and
 * ModuleFile). A sum of our own: the shim has no library to take one from.
 */
#ifndef HEAPTAPE_PROTO_FIRST_PAGE_H
#define HEAPTAPE_PROTO_FIRST_PAGE_H

#include <stdint.h>

#define FIRST_PAGE_BYTES 4096u

/* Of FIRST_PAGE_BYTES bytes; a shorter file's are followed by zeros. Never 0. */
static inline uint64_t first_page_sum(const void *page)
{
	const unsigned char *at = page;
	uint64_t sum = 0;

	for (unsigned i = 0; i < FIRST_PAGE_BYTES; i += 8) {
		uint64_t word;

		__builtin_memcpy(&word, at + i, 8);
		sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
		sum ^= sum >> 29;
	}
	return sum | 1;
}

#endif
