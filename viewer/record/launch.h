/* Starting programs: the one to be recorded, and heaptape's own. */
#ifndef HEAPTAPE_VIEWER_RECORD_LAUNCH_H
#define HEAPTAPE_VIEWER_RECORD_LAUNCH_H

#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "viewer/error.h"

/* A file that the environment's `variable` names, or that lies beside our executable or in
 * ../lib/heaptape from there: a heap copy of its absolute path. */
int launch_installed(const char *variable, const char *name, char **ret_path, struct error *error);

/* HEAPTAPE_SHIM, or libheaptape.so beside the command: a heap copy of an absolute path. */
int launch_shim(char **ret_path, struct error *error);

/* Looks up the names of functions that no daemon has, in the background. */
void launch_symbols(const char *database);

/* When the command is recorded itself, its daemon shall not be: a heap copy of the environment without
 * the other recording's variables. The strings are not copied. */
char **launch_daemon_environment(void);

/* CLOCK_MONOTONIC */
int64_t launch_clock_ns(void);

struct program_end {
	int status; /* as wait(2) gives it */
	struct rusage usage;
	int64_t monotonic_ns; /* when it was seen to end */
	int exec_error;	      /* not 0: it was never started, and this errno says why */
};

/* Runs the program to its end, with the signals that it would get alone (signals.h); calls `begun` when
 * it was executed. An error: no process could be made for it. */
int launch_program(const char *path, char **argv, char **environment,
		   void (*begun)(pid_t pid, void *context), void *context, pid_t *ret_pid,
		   struct program_end *ret_end, struct error *error);

#endif
