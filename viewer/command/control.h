/* What pause, resume and mark have in common: a request to the daemon of a run that goes on. */
#ifndef HEAPTAPE_VIEWER_COMMAND_CONTROL_H
#define HEAPTAPE_VIEWER_COMMAND_CONTROL_H

#include "proto/event.pb-c.h"
#include "viewer/command/cli.h"
#include "viewer/model/run.h"

extern int64_t control_wait_s;
#define OPTION_WAIT                                                                            \
	{                                                                                      \
		"wait", 'w', "SECONDS", "for processes to follow (default: 5)", OPTION_NUMBER, \
			&control_wait_s                                                        \
	}

struct control {
	const char *command;
	enum _Heaptape__RunControlAction action;
	const char *label; /* of a mark; may be NULL */
	bool mark;
	void (*print)(const struct run *run, const Heaptape__RunControlReply *reply);
};

/* For commands whose one argument is the run. */
int control_main(const struct control *control, int argc, char **argv);

/* Asks for it, and prints what came of it. The run goes on. */
int control_run(const struct control *control, const struct run *run);

/* A line for each process that has something to say. */
void control_print_processes(const Heaptape__RunControlReply *reply, bool mark);

#endif
