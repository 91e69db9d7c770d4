#include "viewer/memory.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int memory_exit_status = 3;

static void memory_exhausted(size_t bytes) __attribute__((noreturn));
static void memory_exhausted(size_t bytes)
{
	fflush(stdout);
	if (bytes)
		fprintf(stderr, "heaptape: out of memory (%zu bytes requested)\n", bytes);
	else
		fputs("heaptape: out of memory\n", stderr);
	exit(memory_exit_status);
}

void *memory_grow(void *old, size_t bytes)
{
	void *memory = realloc(old, bytes ? bytes : 1);

	if (!memory)
		memory_exhausted(bytes);
	return memory;
}

void *memory_alloc(size_t bytes)
{
	return memset(memory_grow(NULL, bytes), 0, bytes);
}

char *memory_copy(const char *text)
{
	size_t bytes = strlen(text) + 1;

	return memcpy(memory_grow(NULL, bytes), text, bytes);
}

char *memory_print(const char *format, ...)
{
	va_list list;
	char *text;
	int length;

	va_start(list, format);
	length = vasprintf(&text, format, list);
	va_end(list);
	if (length < 0)
		memory_exhausted(0);
	return text;
}

FILE *memory_stream(char **ret_text, size_t *ret_bytes)
{
	FILE *stream = open_memstream(ret_text, ret_bytes);

	if (!stream)
		memory_exhausted(0);
	return stream;
}

void memory_stream_end(FILE *stream)
{
	if (fclose(stream))
		memory_exhausted(0);
}
