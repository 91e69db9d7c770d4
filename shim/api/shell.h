/*
 * system and popen: the C library starts the shell by itself, with the environment that the program
 * has. Where --follow wants another one (follow.h), it is done here. Cancelled threads, signals and
 * statuses are as there.
 */
#ifndef HEAPTAPE_SHIM_API_SHELL_H
#define HEAPTAPE_SHIM_API_SHELL_H

/* Finds the C library's. */
void ht_shell_init(void);

/* In a fork child: whoever was at it here is not in this process. */
void ht_shell_forked(void);

#endif
