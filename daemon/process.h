/*
 * One traced process, from its Hello to the end of its connection.
 *
 *   peer.c ── frames ──▶ process_*() ──▶ merge.c: batches of all threads, by time
 *                                           └──▶ take.c: totals, samples, rows ──▶ chunks.c
 *
 * Sequence numbers decide what is new: a thread's `next_seq` counts the events in hand, whether
 * they came through the socket or were read from the shared memory; whatever comes again is passed
 * over, whatever never came is a gap.
 */
#ifndef HEAPTAPE_DAEMON_PROCESS_H
#define HEAPTAPE_DAEMON_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "daemon/batch.h"
#include "daemon/clock.h"
#include "daemon/daemon.h"
#include "daemon/ring.h"
#include "daemon/spill.h"
#include "daemon/title.h"
#include "daemon/totals.h"
#include "proto/event.pb-c.h"

#define THREAD_NAME_BYTES 64

struct thread {
	uint32_t number, tid;
	char name[THREAD_NAME_BYTES];
	uint64_t started_ticks, ended_ticks;
	bool started; /* ThreadStart came, or its buffer was seen */
	bool ended;
	bool dirty;

	uint64_t next_seq; /* events in hand, gaps included */
	uint64_t gaps;

	/* Queue of events in hand that wait for their turn. */
	struct batch *first, *last;
	uint64_t bound_ticks; /* no event that is not in hand is earlier */

	uint64_t events;
	uint64_t allocations, allocated_bytes;
	uint64_t frees, freed_bytes;
	uint64_t last_block; /* its latest allocation, until freed by itself; 0 none */
};

/* A stack node of the process. */
struct node {
	uint32_t stack_id;
	uint32_t total; /* place in totals.stacks; 0: not looked up yet */
	uint16_t depth;
};

struct mapping {
	uint64_t base, start, end;
	int64_t module_id;
};

struct sample {
	uint64_t at_ns, live_blocks, live_bytes, held_bytes, rss_bytes, allocations, frees;
};

/* The timeline; samples.c. */
struct samples {
	struct sample *unsaved;
	uint32_t unsaved_count;
	uint64_t *times; /* of all rows, saved or not */
	uint32_t count;
	uint64_t step_ns, next_ns;
	int statm_fd;
	uint64_t rss_bytes, peak_rss_bytes, rss_read_ns;
};

/* Recording went off. Until the `resume` event that says when it went on is taken; gap.c. */
struct off {
	uint64_t from_ns;
	uint32_t turn; /* that ends it, unless the process never notices that one */
	bool listed;   /* in that turn everything live was */
};

#define OFFS_MAX 8

/* The latest time without recording that has ended. */
struct gap {
	bool any;
	bool dirty;
	uint32_t turn; /* that ended it */
	uint64_t from_ns, to_ns;
	uint64_t known_blocks, known_bytes; /* live when it began */
	uint64_t kept_blocks, kept_bytes;
	uint64_t listed_blocks, listed_bytes;
	bool complete;
};

/* The process's open chunk; chunks.c. */
struct open_chunk {
	struct chunk_writer *writer; /* NULL: no events */
	int64_t tail_id;	     /* a short chunk already written that this one contains */
	unsigned tail_events;
	void *tail_blob; /* what it holds, while that is not in `writer` */
	size_t tail_bytes;
};

struct process {
	struct daemon *daemon;
	struct process *next;
	struct run *run;

	int64_t process_id, parent_process_id;
	pid_t pid;	/* as it calls itself */
	pid_t peer_pid; /* as the kernel calls it here; 0 unknown */
	struct kept_user kept_user;
	int pidfd;
	uint64_t identity; /* as pidfd_identity() */
	bool cycles;
	struct clock_scale scale; /* ticks to nanoseconds of the run */
	uint64_t started_ticks;
	uint64_t inherited_ticks; /* blocks allocated until then belong to its parent; 0 none */
	uint64_t usable_bytes[256];
	unsigned class_count;
	bool stacks;

	struct ring ring;
	bool ring_bad;
	bool recording;	 /* as its control word says; control.c */
	uint64_t off_ns; /* CLOCK_MONOTONIC: recording went off, or the process was stopped since */
	uint32_t turn;
	enum _Heaptape__RunControlState marked_state; /* at the latest mark */
	struct gap gap;
	struct off offs[OFFS_MAX]; /* since then */
	unsigned off_count;
	bool off_dirty; /* that it is off, if it is, has no row yet */

	struct thread **threads; /* hash by number */
	uint32_t threads_size;
	uint32_t thread_count;
	struct thread **active; /* not ended, or with events waiting */
	uint32_t active_count, active_capacity;
	struct thread **heap; /* those with events waiting, by time; room as `active` */

	struct node *nodes; /* by number; [0] is "no stack" */
	uint32_t node_count, node_capacity;
	uint32_t nodes_defined;	  /* of node_count; a few may be missing */
	uint32_t nodes_whole;	  /* below this none is */
	struct mapping *mappings; /* by start */
	uint32_t mapping_count;
	int64_t jit_module_id;
	bool jit_news;		      /* frames were added to it */
	struct timespec jit_map_time; /* of the map that names its code, when it was checked */

	uint64_t pending_events;
	size_t pending_bytes;	/* of the batches they lie in */
	struct spill spill;	/* of those that found no room */
	uint64_t unseen_ticks;	/* no event of a thread not yet known is earlier */
	uint32_t threads_whole; /* below this all numbers are known */
	/* When the memory was looked at, so many threads had a number: once all of them are known,
	 * unseen_ticks is that time. */
	uint32_t looked_threads;
	uint64_t looked_ticks;
	uint64_t emitted_ticks; /* highest so far */

	uint32_t misuses;
	uint32_t marks;
	struct mark_name *mark_names; /* of marks whose events are still to come */
	uint32_t mark_names_waiting;
	uint32_t foreign_heaps;
	struct totals totals;
	struct samples samples;
	struct title title;
	struct open_chunk chunk;
	uint64_t last_ns; /* of the latest event taken */

	uint64_t stored_events;	     /* committed */
	uint64_t uncommitted_events; /* since commit number `commits` of the writer */
	uint64_t commits;
	uint64_t discarded_events; /* known, but not to be stored any more */
	bool cut;		   /* the database cannot be written: events are discarded */

	uint64_t losses[6]; /* as in message Losses */
	uint64_t cut_reasons[STACK_CUT_COUNT];
	enum process_end how;
	int exit_code;
	uint64_t end_ticks;
	bool dirty;
	uint64_t totals_due_ns;
};

/* process.c */
/* Takes over `pidfd`, which may be -1, and, when all goes well, `ring_fd`. */
int process_new(struct daemon *daemon, struct run *run, const Heaptape__Hello *hello, int ring_fd,
		pid_t peer_pid, int pidfd, struct process **ret_process, const char **ret_why);
int process_thread_start(struct process *process, const Heaptape__ThreadStart *message);
int process_thread_end(struct process *process, const Heaptape__ThreadEnd *message);
int process_batch(struct process *process, const Heaptape__EventBatch *message,
		  struct slab **slabs);
void process_losses(struct process *process, const Heaptape__Losses *losses);
void process_end_message(struct process *process, const Heaptape__ProcessEnd *message);
/* misuse.c */
int process_misuse(struct process *process, const Heaptape__Misuse *message);
/* marks.c */
int mark_name(struct process *process, const Heaptape__Mark *message);
/* Its event has its turn. */
void mark_set(struct process *process, uint64_t at_ns, uint32_t number);
void marks_free(struct process *process);
/* The connection is over: takes what the shared memory still holds, writes everything, frees. */
void process_finish(struct process *process);
/* Tells events that have been committed from those that may still be undone. */
void process_note_commits(struct process *process);
/* The database cannot be written: recording stops, what comes is counted as lost. */
void process_cut(struct process *process);
/* When the database has failed since this was called last: all running processes are. To be called before
 * writer_retry(): the failed transaction was theirs, too. */
void process_cut_all(struct daemon *daemon);
/* Regular work: looks at the shared memory, so that events of an idle program are seen. */
void process_poll(struct process *process);
uint64_t process_lost_events(const struct process *process);
/* Thread numbers are given in turn; one far beyond those seen is nonsense. */
#define THREAD_GAP_MAX 65536u
/* NULL: there is none and it is not to be made, or cannot be. */
struct thread *process_thread(struct process *process, uint32_t number, bool make);

/* A file with another allocator: the run is not complete. */
void process_foreign(struct process *process, const Heaptape__ForeignHeap *message);

/* node.c: modules and stack nodes */
int process_module(struct process *process, const Heaptape__Module *message);
int process_nodes(struct process *process, const Heaptape__StackNodes *message);
/* Reads nodes from the shared memory; those outside of known modules only when `all`. */
void process_read_nodes(struct process *process, bool all);
/* Whether there is a map that names the process's own code (daemon/symbols/symbols.h), and since the latest
 * call it was written to or there is more such code. */
bool process_jit_map_news(struct process *process);
bool node_ready(const struct process *process, uint32_t node);

/* merge.c */
int merge_add(struct process *process, struct thread *thread, struct batch *batch,
	      struct slab **slabs);
/* Takes what is certain to be in order; looks into the shared memory when threads are behind. */
void merge_run(struct process *process);
/* Looks into the buffers: of threads that nothing is in hand of, which hold up the others; of all;
 * or for the last time, as the process is gone and what is there is all there is. */
enum peek { PEEK_BEHIND, PEEK_ALL, PEEK_FINAL };
void merge_peek(struct process *process, enum peek how);
/* Takes everything that waits, in order of time. */
void merge_flush(struct process *process);
void merge_release(struct process *process);

/* take.c: the events of a batch from its place on, while ticks <= until. */
void take_events(struct process *process, struct thread *thread, struct batch *batch,
		 uint64_t until_ticks);

/* gap.c */
void gap_begin(struct process *process, uint64_t from_ns);
/* Recording goes on, as the process has noticed of this turn. Returns when it went off. */
uint64_t gap_end(struct process *process, uint64_t at_ns, uint32_t turn);
/* The process is to begin another turn: it will not say again what it has listed in this one. */
void gap_look(struct process *process);
/* A block was live; `kept`: it was recorded before. */
void gap_listed(struct process *process, uint64_t size_bytes, bool kept);
void gap_save(struct process *process);

/* follow.c */
/* One that has just said Hello begins as it began, then follows its run. */
void follow_new_process(struct process *process, const Heaptape__Hello *hello);
/* Regular work: processes that could not follow at once do so. */
void follow_tick(struct daemon *daemon);
/* The run is to be recorded from now on, or not. */
void follow_switch(struct run *run, bool recording);
/* Whether the process does so; and whether all blocks that were live when it was switched on are in hand. */
enum _Heaptape__RunControlState follow_state(const struct process *process);

/* samples.c */
void samples_init(struct process *process);
void samples_add(struct process *process, uint64_t at_ns);
void samples_rss(struct process *process);
void samples_save(struct process *process);
void samples_release(struct process *process);

/* chunks.c */
int chunks_add(struct process *process, const struct event_row *row);
/* Writes the open chunk. */
void chunks_finish(struct process *process);
/* The same, for viewers that wait; a short chunk is written anew when more events come. */
void chunks_show(struct process *process);
void chunks_release(struct process *process);

/* save.c: rows of the process, its threads, stacks, sizes */
void save_process(struct process *process, bool final);
/* The process's own row only, for a disk that has no room for more. */
void save_process_row(struct process *process);

#endif
