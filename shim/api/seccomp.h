/*
 * Filters of system calls (seccomp) that the program installs. One that answers with an error is
 * lived with; one that would end the program for a call that only recording makes ends the recording
 * instead, right before it is installed. And a program started under a filter that would end it for
 * what the shim does at its start is started without the shim (follow.c).
 *
 * So is strict mode (read, write and exit only), in which a thread gets no more memory than the
 * allocator holds, and the loss of the cycle counter by prctl(PR_SET_TSC).
 */
#ifndef HEAPTAPE_SHIM_API_SECCOMP_H
#define HEAPTAPE_SHIM_API_SECCOMP_H

#include <stdbool.h>
#include <stdint.h>

struct sock_fprog;

/* A program started now could not bear the shim. */
extern bool ht_seccomp_forbids_start;

/* What a filter says to a system call: SECCOMP_RET_*. Nonsense is answered as the kernel would do,
 * by refusing it: SECCOMP_RET_ALLOW, as it will not be installed. */
uint32_t ht_seccomp_verdict(const struct sock_fprog *filter, uint32_t number,
			    const uint64_t *words);

/* Before the system calls seccomp and prctl; and what follows when a system call has failed. */
void ht_syscall_watched(long number, unsigned long first, unsigned long second,
			unsigned long third);
long ht_syscall_failed(long error);

#endif
