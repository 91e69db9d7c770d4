/*
 * Memory. Exhaustion of it is the one failure that ends the process here and not in a command: there is
 * a message on stderr and the exit status is memory_exit_status. SQLite's own exhaustion is an error
 * like any other.
 */
#ifndef HEAPTAPE_VIEWER_MEMORY_H
#define HEAPTAPE_VIEWER_MEMORY_H

#include <stddef.h>
#include <stdio.h>

/* 3 (could not do it); `run` sets the program's status once that has ended. */
extern int memory_exit_status;

void *memory_alloc(size_t bytes); /* zeroed */
void *memory_grow(void *old, size_t bytes);
char *memory_copy(const char *text);
char *memory_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A stream into a text on the heap: *ret_text is valid after memory_stream_end(). */
FILE *memory_stream(char **ret_text, size_t *ret_bytes);
void memory_stream_end(FILE *stream);

#endif
