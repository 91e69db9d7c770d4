/*
 * How a process ended that said nothing: /proc shows it until the parent has asked; afterwards the
 * parent knows, and on new kernels (6.15) anybody who held a descriptor of it.
 */
#ifndef HEAPTAPE_DAEMON_EXIT_STATUS_H
#define HEAPTAPE_DAEMON_EXIT_STATUS_H

#include <sys/types.h>

/* The status as waitpid(2) gives it. -EAGAIN: not known yet; -ENOTSUP: never. */
int exit_status_get(int pidfd, pid_t pid, int *ret_status);

#endif
