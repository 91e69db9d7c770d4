/*
 * Signals between whoever starts the command and the program: each reaches the program as if the
 * command were not there.
 *
 *   sent to the command        passed on, also when the command found it ignored or blocked: the
 *                              program may have a handler for it
 *   of the terminal            the kernel has sent it to the program as well; not passed on
 *   the program stops          the command stops too, so that a shell sees its job stopped
 */
#ifndef HEAPTAPE_VIEWER_RECORD_SIGNALS_H
#define HEAPTAPE_VIEWER_RECORD_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

/* What the command was started with. */
struct signals {
	struct sigaction before[NSIG];
	bool known[NSIG]; /* else the C library keeps the signal to itself */
	sigset_t mask_before;
	int on_parents_death; /* PR_SET_PDEATHSIG */
};

/* Blocks all signals and installs the handlers that pass them on, for the program to be forked. */
void signals_begin(struct signals *signals);

/* In the child: the dispositions and the mask that the command was started with. */
void signals_give_back(const struct signals *signals);

/* In the parent: from now on signals are passed on to the program. */
void signals_pass_to(pid_t program);

/* As wait4, until the program has ended; stops and goes on with it. */
void signals_wait(pid_t program, int *ret_status, struct rusage *ret_usage);

/* Nothing is passed on any more. */
void signals_end(const struct signals *signals);

#endif
