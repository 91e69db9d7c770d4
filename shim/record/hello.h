/* The first frame of a traced process's connection. */
#ifndef HEAPTAPE_SHIM_RECORD_HELLO_H
#define HEAPTAPE_SHIM_RECORD_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELLO_MAX_BYTES (48u << 10)

/* As the program was started. */
extern char **ht_hello_argv;

/* How many names of malloc's family mean the program's own functions, and what file they are in. */
struct foreign {
	unsigned names;
	char path[256];
};
extern struct foreign ht_foreign;

/* Lays out Hello at `out`, its length included; returns its bytes. What is too long (a command line
 * of megabytes) is cut. `obstacle`: why this process cannot be recorded, or NULL. */
size_t ht_hello_frame(uint8_t *out, bool forked, const char *obstacle);

#endif
