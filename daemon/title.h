/* What a process calls itself, when that is no longer its command line: processes.title. */
#ifndef HEAPTAPE_DAEMON_TITLE_H
#define HEAPTAPE_DAEMON_TITLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/event.pb-c.h"

#define TITLE_BYTES 1024

struct title {
	uint64_t hash; /* of what it is called */
};

/* It is called as its arguments say at first. */
void title_init(struct title *title, const Heaptape__Hello *hello);

/* What the process is called now, as ps shows it. False: that cannot be told. */
bool title_read(pid_t pid, char ret_text[TITLE_BYTES]);

/* From now on it is called so. False: it was so before. */
bool title_set(struct title *title, const char *text);

#endif
