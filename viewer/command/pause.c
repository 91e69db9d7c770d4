/* heaptape pause: a run that goes on is not recorded for a while. */
#include <stdio.h>

#include "viewer/command/commands.h"
#include "viewer/command/control.h"
#include "viewer/print/format.h"
#include "viewer/print/shell.h"

static const struct option_row rows[] = { OPTION_DB, OPTION_WAIT, OPTION_JSON, OPTIONS_END };

static void print_pause(const struct run *run, const Heaptape__RunControlReply *reply)
{
	printf("Run %s is paused: nothing is recorded until 'heaptape resume%s %s'.\n",
	       format_plain(run->run_id), shell_database_option(shared.db),
	       format_plain(run->run_id));
	control_print_processes(reply, false);
}

static int pause_main(int argc, char **argv)
{
	const struct control control = {
		.command = "pause",
		.action = HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_PAUSE,
		.print = print_pause,
	};

	return control_main(&control, argc, argv);
}

const struct command command_pause = {
	.name = "pause",
	.arguments = "[RUN]",
	.summary = "stop recording a program that is running",
	.details = "Its processes run at the allocator's full speed until 'heaptape resume'. What "
		   "they\n"
		   "allocate and free meanwhile is not recorded; the report says so.",
	.options = rows,
	.main = pause_main,
};
