/* heaptape resume: a run is recorded again, or begins to be. */
#include <stdio.h>

#include "viewer/command/commands.h"
#include "viewer/command/control.h"
#include "viewer/print/format.h"
#include "viewer/print/shell.h"

static const struct option_row rows[] = { OPTION_DB, OPTION_WAIT, OPTION_JSON, OPTIONS_END };

static void print_resume(const struct run *run, const Heaptape__RunControlReply *reply)
{
	printf("Run %s is recorded from now on.\n", format_plain(run->run_id));
	control_print_processes(reply, false);
}

static int resume_main(int argc, char **argv)
{
	const struct control control = {
		.command = "resume",
		.action = HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_RESUME,
		.print = print_resume,
	};

	return control_main(&control, argc, argv);
}

const struct command command_resume = {
	.name = "resume",
	.arguments = "[RUN]",
	.summary = "record a run again, or one that was started dormant",
	.details =
		"Each process notices at its next allocation call, and first lists the blocks that "
		"are\n"
		"live: a few milliseconds' worth at each call, until all are. Those recorded "
		"before\n"
		"keep their call stack; of others the size is known. The command waits until that "
		"is\n"
		"done, for --wait SECONDS, and says which processes have not followed yet.",
	.options = rows,
	.main = resume_main,
};
