/*
 * Starting and ending what a recording needs: the private daemon, the program with the shim in
 * front of its allocator, and the connection between command and daemon.
 */
#ifndef HEAPTAPE_VIEWER_RECORD_LAUNCH_H
#define HEAPTAPE_VIEWER_RECORD_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct recorder {
	char *folder; /* private, made by us; NULL when the daemon was there before */
	char *socket; /* path */
	pid_t daemon; /* 0 when the daemon was there before */
	int log;      /* what the daemon said: a memory file; -1: none */
	int link;     /* connection; -1: none */
	int64_t run_id;
	uint64_t run_token;
	char *database; /* absolute path, when the daemon says it */
};

/* HEAPTAPE_SHIM, or libheaptape.so beside the command: a heap copy of an absolute path, or dies
 * saying where it looked. */
char *launch_shim(void);

/* Looks up the names of functions that no daemon has, in the background. */
void launch_symbols(const char *database);

/* Makes the private folder and starts a daemon for `database`; complains and returns false when it
 * cannot. */
bool recorder_start(struct recorder *recorder, const char *database);
/* Connects to the daemon behind recorder->socket; complains and returns false when it cannot. */
bool recorder_connect(struct recorder *recorder);
/*
 * Closes the connection and waits until a private daemon has looked up the names of functions,
 * unless `leave_running`: then, and when the person at the terminal would rather not wait
 * (Ctrl-C), or it takes too long, the daemon goes on by itself.
 */
void recorder_end(struct recorder *recorder, bool leave_running);

/* CLOCK_MONOTONIC */
int64_t launch_clock_ns(void);

struct program_end {
	int status; /* as wait(2) gives it */
	struct rusage usage;
	int64_t monotonic_ns; /* when it was seen to end */
	int exec_error;	      /* not 0: it was never started, and this errno says why */
};

/* Runs the program to its end, with the signals that it would get alone (signals.h); calls `begun` when
 * it was executed. */
void launch_program(const char *path, char **argv, char **environment,
		    void (*begun)(pid_t pid, void *context), void *context, pid_t *ret_pid,
		    struct program_end *ret_end);

#endif
