/*
 * Files of modules, held open from the moment a program is seen to use them until their functions'
 * names are looked up: by then a file may have been deleted or replaced, and one in memory (memfd)
 * has never had a name. The file is the one the process has, whatever its name means here.
 */
#ifndef HEAPTAPE_DAEMON_KEPT_H
#define HEAPTAPE_DAEMON_KEPT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/symbols/symbols.h"

/* Of a process, what is needed to find its files; its address says which process it is. */
struct kept_user {
	pid_t pid;	     /* as the kernel calls it here; 0 unknown */
	uint64_t started_at; /* its run; nanoseconds since 1970 */
};

/* A descriptor that a program has sent of a file it is about to load. */
struct kept_offer {
	const struct kept_user *user; /* NULL: none */
	uint64_t first_page;
	int fd;
};

#define KEPT_OFFERS 64

struct kept {
	struct symbols_held *files;
	unsigned count, next; /* the next to be given up when there is no room */
	struct kept_offer offers[KEPT_OFFERS];
	unsigned next_offer; /* likewise */
};

#define KEPT_DELETED " (deleted)"

/* What the kernel calls the file mapped at `start`, in `ret`; "" unknown. A file that is not at that
 * place any more has KEPT_DELETED behind it. */
void kept_kernel_name(const struct kept_user *user, uint64_t start, char *ret, unsigned bytes);

/* Takes over a descriptor, of whatever kind. */
void kept_offer(struct kept *kept, const struct kept_user *user, int fd);

/* What was offered and begins so: its name as the kernel calls it, as above. */
void kept_offer_name(const struct kept *kept, const struct kept_user *user, uint64_t first_page,
		     char *ret, unsigned bytes);

/* What the process has offered and did not come to use. */
void kept_offers_end(struct kept *kept, const struct kept_user *user);

/* Holds on to the module's file, if it can be had: what was offered and begins with that page, or what is
 * at its path. */
void kept_add(struct kept *kept, const struct kept_user *user, int64_t module_id, const char *path,
	      uint64_t start, uint64_t first_page);

bool kept_any(const struct kept *kept);
void kept_clear(struct kept *kept);

#endif
