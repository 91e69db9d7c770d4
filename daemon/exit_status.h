/*
 * How a process ended that said nothing: its parent knows, and on new kernels (6.15) anybody who
 * held a descriptor of it, once the parent has been told.
 */
#ifndef HEAPTAPE_DAEMON_EXIT_STATUS_H
#define HEAPTAPE_DAEMON_EXIT_STATUS_H

/* The status as waitpid(2) gives it. -EAGAIN: not known yet; -ENOTSUP: never. */
int exit_status_get(int pidfd, int *ret_status);

#endif
