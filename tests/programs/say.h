/*
 * What a scripted program tells of itself, without allocating: lines collected in static memory
 * and written to descriptor 1 at the end. A window of events is enclosed by two marker blocks of
 * a size nothing else asks for, so that a test can compare every row between them.
 */
#ifndef HEAPTAPE_TESTS_SAY_H
#define HEAPTAPE_TESTS_SAY_H

#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SAY_BYTES (64u << 20)
#define MARKER_BYTES 777001u

static char say_text[SAY_BYTES];
static _Atomic size_t say_used;

__attribute__((format(printf, 1, 2), unused)) static void say(const char *format, ...)
{
	char line[512];
	va_list list;
	int bytes;
	size_t at;

	va_start(list, format);
	bytes = vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	at = atomic_fetch_add(&say_used, (size_t)bytes);
	if (at + (size_t)bytes > sizeof(say_text))
		abort();
	memcpy(say_text + at, line, (size_t)bytes);
}

__attribute__((unused)) static void say_write(void)
{
	size_t at = 0;

	while (at < say_used) {
		ssize_t n = write(1, say_text + at, say_used - at);

		if (n <= 0)
			_exit(99);
		at += (size_t)n;
	}
	say_used = 0;
}

__attribute__((unused)) static void marker(void)
{
	free(malloc(MARKER_BYTES));
}

__attribute__((unused)) static long self(void)
{
	return syscall(SYS_gettid);
}

/* Rows as the tests' query prints them: tid,kind,address,size,usable,old_address. */
__attribute__((unused)) static void row(const char *kind, void *block, size_t size, uintptr_t old)
{
	say("%ld,%s,%lu,%zu,%zu,%lu\n", self(), kind, (unsigned long)(uintptr_t)block,
	    block ? size : 0, block ? malloc_usable_size(block) : 0, (unsigned long)old);
}

__attribute__((unused)) static void free_row(void *block, size_t size)
{
	if (block)
		row("free", block, size, 0);
	free(block);
}

__attribute__((unused)) static void *malloc_row(size_t size)
{
	void *block = malloc(size);

	row("malloc", block, size, 0);
	return block;
}

__attribute__((unused)) static void *realloc_row(void *block, size_t size)
{
	uintptr_t old = (uintptr_t)block;
	void *moved = realloc(block, size);

	row("realloc", moved, size, old);
	return moved;
}

#endif
