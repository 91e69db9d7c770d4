/*
 * Files of modules, held open from the moment a program is seen to use them until their functions'
 * names are looked up: by then a file may have been deleted or replaced, and one in memory (memfd)
 * has never had a name. The file is the one the process has, whatever its name means here.
 */
#ifndef HEAPTAPE_DAEMON_KEPT_H
#define HEAPTAPE_DAEMON_KEPT_H

#include <stdint.h>

struct process;
struct mapping;

struct kept_file {
	int64_t module_id;
	int fd;
};

struct kept {
	struct kept_file *files;
	unsigned count, next; /* the next to be given up when there is no room */
};

#define KEPT_DELETED " (deleted)"

/* What the kernel calls the file mapped at `start`, in `ret`; "" unknown. A file that is not at that
 * place any more has KEPT_DELETED behind it. */
void kept_kernel_name(const struct process *process, uint64_t start, char *ret, unsigned bytes);

/* Holds on to the module's file, if it can be had. */
void kept_add(struct kept *kept, const struct process *process, int64_t module_id, const char *path,
	      uint64_t start);
void kept_clear(struct kept *kept);

/* "MODULE=DESCRIPTOR,..." for symbols_spawn(), malloced; NULL: nothing is kept. */
char *kept_text(const struct kept *kept);

#endif
