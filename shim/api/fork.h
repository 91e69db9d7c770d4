/*
 * fork: the child is a process of the same run with a record of its own. So is one that was made
 * behind our back (_Fork, a clone system call): its wiped pages tell, at its first event. vfork and
 * posix_spawn children borrow our memory and touch nothing here.
 */
#ifndef HEAPTAPE_SHIM_API_FORK_H
#define HEAPTAPE_SHIM_API_FORK_H

/* Has fork call us. */
void ht_fork_watch(void);

#endif
