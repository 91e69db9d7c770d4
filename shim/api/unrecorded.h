/*
 * Programs that are not recorded: the daemon is told of each before it is executed, on a connection of
 * its own that closes by itself when it is. So a vfork child can do it, which has nothing but its
 * stack, and one that fails to execute anything takes it back.
 */
#ifndef HEAPTAPE_SHIM_API_UNRECORDED_H
#define HEAPTAPE_SHIM_API_UNRECORDED_H

#include <sys/types.h>

struct follow_plan;

/* This process is about to become the program. When that is not recorded, it is told, or counted where it
 * cannot be told. */
int ht_unrecorded_exec(const struct follow_plan *plan, char *const argv[]);

/* It did not; with what ht_unrecorded_exec() returned. */
void ht_unrecorded_failed(int told);

/* The program was started as process `pid`; 0 unknown. */
void ht_unrecorded_started(const struct follow_plan *plan, char *const argv[], pid_t pid);

#endif
