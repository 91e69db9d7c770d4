/* heaptape snapshot: what is known of a run that goes on is stored now. */
#include <stdio.h>

#include "viewer/command/commands.h"
#include "viewer/command/control.h"
#include "viewer/print/format.h"
#include "viewer/print/shell.h"

static struct {
	const char *label;
} options;

static const struct option_row rows[] = { OPTION_DB,
					  { "label", 'l', "TEXT",
					    "a name for the snapshot (default: 'snapshot 1', ...)",
					    OPTION_TEXT, &options.label },
					  OPTION_WAIT,
					  OPTION_JSON,
					  OPTIONS_END };

static void print_snapshot(const struct run *run, const Heaptape__RunControlReply *reply)
{
	const char *option = shell_database_option(shared.db);

	printf("Run %s, '%s' at %s%s\n", format_plain(run->run_id), reply->label,
	       format_duration((int64_t)reply->at_ns),
	       reply->recording ? "" : "; nothing is recorded from here on, as before");
	control_print_processes(reply, true);
	if (reply->symbols_pending)
		puts("  names of functions are still being looked up");
	printf("What is live now and younger, later: heaptape leaks%s --since %s %s\n", option,
	       shell_word(reply->label), format_plain(run->run_id));
}

static int snapshot_main(int argc, char **argv)
{
	const struct control control = {
		.command = "snapshot",
		.action = HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_SNAPSHOT,
		.print = print_snapshot,
		.label = options.label,
		.snapshot = true,
	};

	return control_main(&control, argc, argv);
}

const struct command command_snapshot = {
	.name = "snapshot",
	.arguments = "[RUN]",
	.summary = "store all that is known of a run now, and mark the moment",
	.details =
		"Afterwards 'report', 'leaks' and 'pages' speak of this moment, with the names of\n"
		"functions, and 'leaks --since LABEL' says what has come since and is still live.\n"
		"Processes that are dormant or paused list their live blocks once and are so "
		"again.",
	.options = rows,
	.main = snapshot_main,
};
