/* Descriptors of processes: unlike their numbers, they never come to mean another one. */
#ifndef HEAPTAPE_DAEMON_PIDFD_H
#define HEAPTAPE_DAEMON_PIDFD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Of the process that made the connection, even when it is gone already (Linux 6.16; before: while
 * it has not been waited for). -1: not to be had. */
int pidfd_of_peer(int connection, pid_t pid);

/* A number no other process has or had since the system's start; 0 unknown (before Linux 6.9). */
uint64_t pidfd_identity(int pidfd);

/* The process has ended, though its parent may not have waited for it. True also for -1. */
bool pidfd_has_ended(int pidfd);

/* The process's number as the kernel calls it here; 0 unknown. */
pid_t pidfd_pid(int pidfd);

/* The parent of a process, as the kernel calls it here; 0 unknown. */
pid_t pid_parent(pid_t pid);

#endif
