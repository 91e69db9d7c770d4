/*
 * One connection. The first frame says what it is: Hello, a traced program; Unrecorded, the
 * announcement of a program that will not be traced; RunStart, the command.
 * A peer that breaks the rules is marked bad, told why where it can be, and loses its connection;
 * what it sent before is kept.
 */
#ifndef HEAPTAPE_DAEMON_PEER_H
#define HEAPTAPE_DAEMON_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/process.h"
#include "daemon/run.h"

struct server;
struct event;

enum peer_state {
	PEER_NEW,
	PEER_PROGRAM,
	PEER_LEFT, /* its process has ended; children.h */
	PEER_COMMAND,
	PEER_CONTROL,
	PEER_UNRECORDED /* announces a program; unrecorded.h */
};

/* What a RunControl frame asks, until it is answered; control.c. */
struct control_request {
	int64_t run_id;
	enum _Heaptape__RunControlAction action;
	char label[256];
	uint64_t began_ns, until_ns; /* CLOCK_MONOTONIC */
	bool off_again; /* a snapshot of dormant processes: they are so again afterwards */
	bool stored;	/* the snapshot is taken; symbols are looked up */
	uint64_t at_ns; /* of the snapshot, since the run began */
	bool answered;
};

struct peer {
	struct server *server;
	struct peer *next;
	int fd;
	struct event *readable;
	struct event *rested; /* while `readable` is off: when it is read again; pace.c */
	uint64_t read_bytes;  /* so far, */
	uint64_t read_ns;     /* and when it was last looked, CLOCK_MONOTONIC */
	unsigned looks;	      /* in vain, that are left before it is to wake us */
	struct event *gone;   /* the process has ended; NULL: that cannot be watched */
	bool is_gone;	      /* it had when we looked first */
	enum peer_state state;
	const char *bad; /* not NULL: why it is not listened to any more */
	pid_t pid;	 /* as the kernel says; 0 unknown */
	uint64_t connected_ns;

	int passed_fd; /* came with the first frame; -1 none */
	int file_fd;   /* a module's file (message ModuleFile follows at once); -1 none */
	bool lost_fds; /* some did not fit, or there was no descriptor left to take them */
	uint8_t *rest; /* the beginning of a frame that is not whole yet */
	size_t rest_bytes;

	struct process *process;
	struct run *run;
	struct run_command command; /* PEER_COMMAND */
	struct control_request control;
	struct unrecorded *unrecorded; /* PEER_UNRECORDED */

	/* children.c */
	int64_t process_id;
	uint32_t forks, lost_forks, lost_execs,
		spawns;	  /* as its memory says; taken over by the run */
	struct ring ring; /* PEER_LEFT: its memory */
};

/* Takes over `fd`. -ENOMEM. */
int peer_new(struct server *server, int fd, pid_t pid);

/* Ends the connection: a program's process is finished, the command's run goes on without it. */
void peer_free(struct peer *peer);

/* Its process's rows are final. */
void peer_end_process(struct peer *peer);

/* Reads what has come, up to a limit that keeps the others waiting shortly. False: it was all, and
 * the peer is gone. */
bool peer_read(struct peer *peer);

/* The process has ended. Its connection may be open still, in a child: what is in there is read, then
 * it is over, or left to children on their way. */
void peer_gone(struct peer *peer);

/* Sends a frame without waiting; a peer that does not read what it is told is bad. */
void peer_send(struct peer *peer, const Heaptape__Frame *frame);

#endif
