/*
 * Memory and strings. The program may have functions of these names: not even correct ones can be
 * called, since they may allocate. Ours are seen by the shim only; the compiler's own calls lead to
 * them, too. (And it is told not to make calls of these loops.)
 */
#include <stdint.h>
#include <string.h>

#include "shim/common.h"

typedef uint64_t word __attribute__((aligned(1), may_alias));
typedef uint32_t half __attribute__((aligned(1), may_alias));
typedef uint16_t quarter __attribute__((aligned(1), may_alias));
typedef uint64_t vector __attribute__((vector_size(16), aligned(1), may_alias));

#define VECTOR sizeof(vector)
/* From so many bytes on, the processor's own way is faster. */
#define LONG_BYTES 2048

/* Both ends first, then what lies between: for source and target that overlap, too. */
static inline void *copy_short(char *to, const char *from, size_t bytes)
{
	if (bytes >= 8) {
		uint64_t first = *(const word *)from, last = *(const word *)(from + bytes - 8);

		*(word *)to = first;
		*(word *)(to + bytes - 8) = last;
	} else if (bytes >= 4) {
		uint32_t first = *(const half *)from, last = *(const half *)(from + bytes - 4);

		*(half *)to = first;
		*(half *)(to + bytes - 4) = last;
	} else if (bytes >= 2) {
		uint16_t first = *(const quarter *)from,
			 last = *(const quarter *)(from + bytes - 2);

		*(quarter *)to = first;
		*(quarter *)(to + bytes - 2) = last;
	} else if (bytes) {
		*to = *from;
	}
	return to;
}

/* Upwards: right where the target does not begin within the source. */
static inline void *copy_up(char *to, const char *from, size_t bytes)
{
	size_t at = 0;
	vector last;

	if (bytes < VECTOR)
		return copy_short(to, from, bytes);
#ifdef __x86_64__
	if (bytes >= LONG_BYTES) {
		void *d = to;

		__asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(bytes) : : "memory");
		return to;
	}
#endif
	last = *(const vector *)(from + bytes - VECTOR);
	for (; at + VECTOR < bytes; at += VECTOR)
		*(vector *)(to + at) = *(const vector *)(from + at);
	*(vector *)(to + bytes - VECTOR) = last;
	return to;
}

void *HT_API(memcpy)(void *restrict to, const void *restrict from, size_t bytes)
{
	return copy_up(to, from, bytes);
}

void *HT_API(mempcpy)(void *restrict to, const void *restrict from, size_t bytes)
{
	return (char *)copy_up(to, from, bytes) + bytes;
}

void *HT_API(memmove)(void *target, const void *source, size_t bytes)
{
	const char *from = source;
	char *to = target;
	vector first;

	if ((uintptr_t)to - (uintptr_t)from >= bytes || bytes < VECTOR)
		return copy_up(to, from, bytes);
	first = *(const vector *)from;
	for (size_t at = bytes; at > VECTOR; at -= VECTOR)
		*(vector *)(to + at - VECTOR) = *(const vector *)(from + at - VECTOR);
	*(vector *)to = first;
	return to;
}

void *HT_API(memset)(void *target, int value, size_t bytes)
{
	uint64_t each = (uint8_t)value * 0x0101010101010101ull;
	vector whole = { each, each };
	char *to = target;
	size_t at = 0;

	if (bytes < VECTOR) {
		uint64_t pattern[2] = { each, each };

		return copy_short(to, (const char *)pattern, bytes);
	}
#ifdef __x86_64__
	if (bytes >= LONG_BYTES) {
		__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
		return target;
	}
#endif
	for (; at + 4 * VECTOR <= bytes; at += 4 * VECTOR) {
		*(vector *)(to + at) = whole;
		*(vector *)(to + at + VECTOR) = whole;
		*(vector *)(to + at + 2 * VECTOR) = whole;
		*(vector *)(to + at + 3 * VECTOR) = whole;
	}
	for (; at + VECTOR < bytes; at += VECTOR)
		*(vector *)(to + at) = whole;
	*(vector *)(to + bytes - VECTOR) = whole;
	return target;
}

int HT_API(memcmp)(const void *a, const void *b, size_t bytes)
{
	const uint8_t *one = a, *other = b;

	for (; bytes >= 8 && *(const word *)one == *(const word *)other; bytes -= 8) {
		one += 8;
		other += 8;
	}
	for (; bytes; bytes--, one++, other++)
		if (*one != *other)
			return *one - *other;
	return 0;
}

void *HT_API(memmem)(const void *in, size_t in_bytes, const void *what, size_t bytes)
{
	for (const char *at = in; in_bytes >= bytes; at++, in_bytes--)
		if (HT_API(memcmp)(at, what, bytes) == 0)
			return (void *)at;
	return NULL;
}

size_t HT_API(strnlen)(const char *text, size_t most)
{
	size_t length = 0;

	while (length < most && text[length])
		length++;
	return length;
}

size_t HT_API(strlen)(const char *text)
{
	return HT_API(strnlen)(text, SIZE_MAX);
}

int HT_API(strncmp)(const char *a, const char *b, size_t most)
{
	for (; most; most--, a++, b++)
		if (*a != *b || !*a)
			return (unsigned char)*a - (unsigned char)*b;
	return 0;
}

int HT_API(strcmp)(const char *a, const char *b)
{
	return HT_API(strncmp)(a, b, SIZE_MAX);
}

char *HT_API(strchrnul)(const char *text, int c)
{
	while (*text && *text != (char)c)
		text++;
	return (char *)text;
}

char *HT_API(strchr)(const char *text, int c)
{
	text = HT_API(strchrnul)(text, c);
	return *text == (char)c ? (char *)text : NULL;
}

char *HT_API(strrchr)(const char *text, int c)
{
	const char *last = NULL;

	do
		if (*text == (char)c)
			last = text;
	while (*text++);
	return (char *)last;
}

char *HT_API(stpcpy)(char *restrict to, const char *restrict from)
{
	return (char *)HT_API(mempcpy)(to, from, HT_API(strlen)(from) + 1) - 1;
}

char *HT_API(strcpy)(char *restrict to, const char *restrict from)
{
	HT_API(stpcpy)(to, from);
	return to;
}

char *HT_API(strncpy)(char *restrict to, const char *restrict from, size_t bytes)
{
	size_t length = HT_API(strnlen)(from, bytes);

	HT_API(memset)(HT_API(mempcpy)(to, from, length), 0, bytes - length);
	return to;
}
