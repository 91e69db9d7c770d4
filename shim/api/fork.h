/*
 * fork: the child is a process of the same run with a record of its own. So is one that was made
 * behind our back (_Fork, a clone system call): its wiped pages tell, at its first event. vfork and
 * posix_spawn children borrow our memory and touch nothing here.
 */
#ifndef HEAPTAPE_SHIM_API_FORK_H
#define HEAPTAPE_SHIM_API_FORK_H

#include <stdbool.h>

/* For a thread that finds its own pages empty: begins the record of such a child. False: there is
 * none to write into. */
bool ht_fork_seen_to(void);

/* Has fork call us. */
void ht_fork_watch(void);

#endif
