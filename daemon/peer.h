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

#include "daemon/children.h"
#include "daemon/control.h"
#include "daemon/pace.h"
#include "daemon/process.h"
#include "daemon/run.h"

struct event_base;
struct event;
struct unrecorded;

/* What the owner of all peers is told. */
struct peers_calls {
	/* Somebody left, or a run may be over. Called from the loop, in the midst of reading from peers or
	 * freeing one: what follows from that is to happen soon, and not at once. */
	void (*changed)(void *context);
};

/* All connections. */
struct peers {
	struct daemon *daemon;
	struct event_base *base; /* the owner's */
	const struct peers_calls *calls;
	void *context;
	struct controls controls;
	struct peer *first; /* in the order in which they came */
	size_t rest_bytes;  /* that unfinished frames take */
	bool had_any;	    /* somebody was served */
};

enum peer_state {
	PEER_NEW,
	PEER_PROGRAM,
	PEER_LEFT, /* its process has ended; children.h */
	PEER_COMMAND,
	PEER_CONTROL,
	PEER_UNRECORDED /* announces a program; unrecorded.h */
};

struct peer {
	struct peers *all;
	struct peer *next;
	int fd;
	struct pace pace;
	uint64_t read_bytes; /* so far */
	struct event *gone;  /* the process has ended; NULL: that cannot be watched */
	bool is_gone;	     /* it had when we looked first */
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
	struct run_command command;    /* PEER_COMMAND */
	struct control control;	       /* PEER_CONTROL */
	struct unrecorded *unrecorded; /* PEER_UNRECORDED */
	struct children children;      /* of a program */
};

void peers_init(struct peers *peers, struct daemon *daemon, struct resolver *resolver,
		const struct peers_calls *calls, void *context);

/* Takes over `fd`. -ENOMEM. */
int peer_new(struct peers *peers, int fd, pid_t pid);

/* Ends the connection: a program's process is finished, the command's run goes on without it. */
void peer_free(struct peer *peer);

/* Reads what has come, up to a limit that keeps the others waiting shortly. False: it was all, and
 * the peer is gone. */
bool peer_read(struct peer *peer);

/* The process has ended. Its connection may be open still, in a child: what is in there is read, then
 * it is over, or left to children on their way. */
void peer_gone(struct peer *peer);

/* peer_frame.c: one frame, whose columns lie in `slabs`. A negative errno: the peer may not go on. */
int peer_frame(struct peer *peer, const Heaptape__Frame *frame, struct slab **slabs);

#endif
