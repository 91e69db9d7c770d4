/*
 * The daemon that records, as the command sees it: a private one, started and ended with the run, or
 * one that was there before; and what the two say to each other. What takes long is shown on stderr when
 * that is a terminal; the daemon's own words are copied there.
 */
#ifndef HEAPTAPE_VIEWER_RECORD_RECORDER_H
#define HEAPTAPE_VIEWER_RECORD_RECORDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/image.h"
#include "viewer/error.h"
#include "viewer/record/environment.h"
#include "viewer/record/launch.h"

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

/* Makes the private folder and starts a daemon for `database`. -ECHILD, with an empty text: the daemon
 * itself has said on stderr why it cannot. recorder_end() is needed in any case. */
int recorder_start(struct recorder *recorder, const char *database, struct error *error);
/* Connects to the daemon behind recorder->socket. */
int recorder_connect(struct recorder *recorder, struct error *error);
/*
 * Closes the connection and waits until a private daemon has looked up the names of functions,
 * unless `leave_running`: then, and when the person at the terminal would rather not wait
 * (Ctrl-C), or it takes too long, the daemon goes on by itself.
 */
void recorder_end(struct recorder *recorder, bool leave_running);

/* Has the daemon begin the run: run_id, run_token, database. */
int recorder_begin_run(struct recorder *recorder, const struct environment *environment,
		       const char *label, int argc, char **argv, struct error *error);

/* The program itself, when it cannot be recorded. */
struct unrecorded {
	enum image_reason reason;
	const char *path;
	char **argv;
	int argc;
};
void recorder_announce(const struct recorder *recorder, const struct unrecorded *unrecorded,
		       pid_t pid);

/* Tells the daemon how the program ended and waits until all of it is in the database.
 * *ret_still_running: processes of the run that go on. */
int recorder_finish_run(struct recorder *recorder, pid_t pid, const struct program_end *end,
			int64_t *ret_still_running, struct error *error);

#endif
