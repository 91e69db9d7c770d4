/*
 * A run: what one `heaptape run` records, or one program started by hand and its children. It ends
 * when the command has said how the program ended (or has gone away) and no process of it is alive.
 *
 * A process is alive while
 *   - it is connected (`running`),
 *   - its connection is open after its end, in a child that has not connected (`left`; children.h),
 *   - its connection is closed, but it goes on, after exec for one (run_process.pidfd),
 *   - it has the run's token in its environment (pending.h).
 */
#ifndef HEAPTAPE_DAEMON_RUN_H
#define HEAPTAPE_DAEMON_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/daemon.h"
#include "daemon/pending.h"
#include "proto/event.pb-c.h"

/*
 * The command that asked for a run, as long as it is connected. Called in run_check(), so outside of
 * everything that reads from peers; may send, may not end a run.
 */
struct run_command {
	/* The program has ended. So many processes of the run go on; 0: the run is over, about to be freed. */
	void (*done)(struct run_command *command, int64_t run_id, unsigned still_running);
};

/* A process the run had, running or not. */
struct run_process {
	pid_t pid;
	pid_t peer_pid;	   /* as the kernel calls it here; 0 unknown */
	uint64_t identity; /* as pidfd_identity() */
	int64_t process_id, parent_process_id;
	bool running;	      /* else its record has ended, */
	enum process_end how; /* in this way, */
	uint64_t ended_ns;    /* then */
	int pidfd;    /* of one that may go on, or whose exit status may still be learnt; else -1 */
	bool awaited; /* it is to say Hello again */
	bool unrecorded;	/* there is nothing of it but its row, */
	uint64_t device, inode; /* and this is its file */
};

struct run {
	struct daemon *daemon;
	struct run *next;
	int64_t run_id;
	uint64_t token;
	uint64_t started_ns;	     /* CLOCK_MONOTONIC */
	uint64_t started_at;	     /* as its row says */
	bool recording;		     /* else its processes are dormant, or paused */
	struct run_command *command; /* who started it, while connected */
	bool by_hand;		     /* no command */
	bool ended;		     /* RunEnd came, or the command went away */
	bool told;		     /* RunDone was sent */
	bool unwritten;		     /* it is over, but the database did not take that */
	uint64_t retry_ns;
	uint64_t ended_ns; /* CLOCK_MONOTONIC: of RunEnd */
	uint64_t quiet_ns; /* ... of the last word about how it ends: RunEnd, a process's end */
	bool lost, cut;
	bool has_stacks;
	unsigned unrecorded; /* processes of which there is nothing but a row */
	unsigned running;
	unsigned others; /* alive and not connected, when run_look() looked, */
	bool looked;	 /* after the last word of any process of it */
	struct pending pending;
	/* By processes that ended; children that said Hello, that counted themselves as lost;
	 * connections that are left to those on their way. */
	uint64_t forks, forks_seen, lost_forks;
	unsigned left;
	/* Programs started by children that are no forks, and to be recorded; such that said Hello. */
	uint64_t spawns, spawns_seen;

	pid_t status_pid; /* how the program ended, from RunEnd */
	int status_code;
	int status_signal;
	uint64_t status_user_ns, status_system_ns, status_max_rss_bytes;

	struct run_process *processes;
	uint32_t process_count, process_capacity;
};

/* HEAPTAPE_DORMANT is among these NAME=value settings and not 0. */
bool run_dormant(char *const *settings, size_t count);

/* A run asked for by the command, if that is still there (else NULL). */
int run_start(struct daemon *daemon, const Heaptape__RunStart *message, struct run_command *command,
	      struct run **ret_run);

/* The run a program belongs to: by its token, else its parent's, else a new one. */
int run_of_process(struct daemon *daemon, const Heaptape__Hello *hello, struct run **ret_run);

/* The run of a token; for 0, the one started by hand that has one of these processes. NULL: none. */
struct run *run_of(const struct daemon *daemon, uint64_t token, uint32_t pid, uint32_t parent_pid);

/* A program of the run that cannot be recorded. */
void run_refused(struct run *run, const Heaptape__Hello *hello, const char *why);

/* A process says Hello: its numbers. `forked`: it is a child that did not exec. */
void run_add_process(struct run *run, const struct run_process *process, bool forked);
/* A process that is not recorded gets its row. Takes over `pidfd`, which may be -1. */
void run_add_unrecorded(struct run *run, const Heaptape__Unrecorded *message, const char *command,
			uint64_t started_ns, pid_t peer_pid, int pidfd);
/* What the run is told of a process whose record ends. */
struct run_ending {
	int64_t process_id;
	pid_t pid;
	int pidfd;	      /* the run's from now on; -1 none */
	enum process_end how; /* as far as the record says */
	int exit_code;
	uint64_t ended_ns;
	bool has_stacks;
	bool cut;	    /* its events could not be stored to the end */
	bool lost;	    /* some events are missing */
	bool had_no_memory; /* it did not share any */
};
void run_end_process(struct run *run, const struct run_ending *ending);
/* Forks that a process has counted, and children that were lost. */
void run_add_forks(struct run *run, int64_t process_id, uint32_t forks, uint32_t lost);
/* Programs that it had to start without the shim. */
void run_add_lost_execs(struct run *run, int64_t process_id, uint32_t lost);
int64_t run_find_process(const struct run *run, pid_t pid);
/* The parent of a process that says Hello, 0 unknown. When that is an earlier process of the run
 * which became another program, this is noted. */
int64_t run_parent(struct run *run, pid_t peer_pid, uint64_t identity, pid_t parent_pid);

/* RunEnd. */
void run_end(struct run *run, const Heaptape__RunEnd *message);
/* The command's connection is gone. */
void run_command_gone(struct run *run);
/* Looks for processes that are alive and not connected. Connections that were made until then are to be
 * accepted before run_check(). */
void run_look(struct run *run);
/* Ends the run if that is due; the run may be gone afterwards. `strangers`: somebody is connected
 * who has not yet said to which run he belongs. False: there must be another look first. */
bool run_check(struct run *run, bool strangers);

/* -- among run.c, run_process.c and run_end.c -- */

void run_free(struct run *run);
/* The run is not complete: so many are missing of `what`; none: nothing happens. */
void run_add_lost(struct run *run, int64_t process_id, uint32_t lost, const char *what);
void run_save_ending(struct run *run, int64_t process_id, uint64_t ended_ns, enum process_end how,
		     int code);
/* Learns how processes ended that said nothing. False: of some that may still come to light. */
bool run_learn_endings(struct run *run);
/* How the program ended is known: its process may not have said. */
void run_tell_status(struct run *run);
/* Of processes that are not recorded, and whose end nobody tells. */
void run_give_up_endings(struct run *run);

#endif
