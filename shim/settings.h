/* The HEAPTAPE_* variables of the environment, as far as the recording needs them. */
#ifndef HEAPTAPE_SHIM_SETTINGS_H
#define HEAPTAPE_SHIM_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#define SETTINGS_MAX 16

enum follow { FOLLOW_EXEC, FOLLOW_ALL, FOLLOW_NONE };

struct settings {
	char socket[108]; /* HEAPTAPE_SOCKET; "": do not record */
	uint64_t run_token;
	bool drop_when_full;
	bool stacks;
	bool free_stacks; /* also where blocks are freed */
	bool guard;	  /* implies free_stacks */
	bool go_on;	  /* after a misuse of the heap */
	bool dormant;	  /* recording starts switched off */
	unsigned depth;	  /* 0: as deep as can be */
	enum follow follow;
	int command_pid; /* HEAPTAPE_COMMAND: the parent of the run's first process; 0 not given */
	/* NAME=value of each, copied: programs write over their environment. */
	char lines[SETTINGS_MAX][128];
	unsigned line_count;
	const char *own_run; /* the line for HEAPTAPE_RUN, where the environment had none */
};

extern struct settings ht_settings;

/* Reads them from envp; getenv would not find them before libc's own start. */
void ht_settings_read(char **envp);

/* A program that was started by hand belongs to no run yet: makes up the token of one, which the programs
 * that it starts are given. */
void ht_settings_begin_run(void);

/* True for NAME=value of a variable that is meant for the shim. */
bool ht_settings_knows(const char *line);

#endif
