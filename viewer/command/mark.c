/* heaptape mark: names a moment of a run, now or afterwards. */
#include <stdio.h>
#include <string.h>

#include "viewer/command/commands.h"
#include "viewer/command/control.h"
#include "viewer/command/recording.h"
#include "viewer/model/marks.h"
#include "viewer/model/moment.h"
#include "viewer/print/format.h"
#include "viewer/print/shell.h"
#include "viewer/print/table.h"

#define LABEL_MOST 200

static struct {
	const char *at;
	bool list;
} options;

static const struct option_row rows[] = {
	OPTION_DB,
	{ "at", 0, "MOMENT", "set it there, afterwards (default: now)", OPTION_TEXT, &options.at },
	{ "list", 'l', NULL, "show the marks of the run", OPTION_FLAG, &options.list },
	OPTION_WAIT,
	OPTION_JSON,
	OPTION_CSV,
	OPTIONS_END
};

static const struct column columns[] = {
	{ "at_ns", "At", CELL_DURATION, 0 },
	{ "label", "Mark", CELL_TEXT, COLUMN_FLEX },
	{ "live_bytes", "Live", CELL_BYTES, 0 },
	{ "live_blocks", "Blocks", CELL_COUNT, 0 },
	{ "processes", "Processes", CELL_COUNT, COLUMN_DATA },
	{ "missing", "Missing", CELL_COUNT, COLUMN_DATA },
	{ "process_id", "Process", CELL_PLAIN, 0 },
	{ "mark_id", "Id", CELL_PLAIN, COLUMN_DATA },
};

static void print_use(const struct run *run, const char *label)
{
	printf("What was allocated since and is still live, later: heaptape leaks%s --since %s "
	       "%s\n",
	       shell_database_option(shared.db), shell_word(label), format_plain(run->run_id));
}

static void print_reply(const struct run *run, const Heaptape__RunControlReply *reply)
{
	printf("Run %s, '%s' at %s%s\n", format_plain(run->run_id), reply->label,
	       format_duration((int64_t)reply->at_ns),
	       reply->recording ? "" : "; nothing is recorded from here on, as before");
	control_print_processes(reply, true);
	if (reply->symbols_pending)
		puts("  names of functions are still being looked up");
	print_use(run, reply->label);
}

static int list_marks(struct recording *recording, struct error *error)
{
	struct marks marks;
	struct table *table;
	int result = marks_load(&recording->db, recording->run.run_id, &marks, error);

	if (result)
		return result;
	table = table_new_of(columns, sizeof(columns) / sizeof(*columns), mark_fields);
	for (size_t i = 0; i < marks.count; i++)
		table_row(table, &marks.list[i]);
	if (!marks.count && cli_form() == TABLE_SCREEN)
		complain("run %s has no marks", format_plain(recording->run.run_id));
	else
		table_show(table, stdout, cli_form());
	table_free(table);
	marks_release(&marks);
	return 0;
}

/* Of a run that has ended, or of a moment that is over. */
static int set_afterwards(struct recording *recording, const char *label, struct error *error)
{
	struct mark mark;
	int64_t at_ns, end_ns;
	int result = moment_select(&recording->db, &recording->run, options.at ? options.at : "end",
				   &at_ns, error);

	if (!result)
		result = moment_select(&recording->db, &recording->run, "100%", &end_ns, error);
	if (!result && at_ns > end_ns)
		at_ns = end_ns;
	if (!result)
		result = db_register(&recording->db, error);
	if (!result)
		result = mark_add(&recording->db, &recording->run, at_ns, label, &mark, error);
	if (result)
		return result;
	if (shared.json) {
		struct json json;

		json_init(&json, stdout);
		json_object(&json, NULL);
		columns_json(columns, sizeof(columns) / sizeof(*columns), mark_fields, &mark,
			     &json);
		json_end(&json);
	} else {
		printf("Run %s, '%s' at %s: %s in %s live\n", format_plain(recording->run.run_id),
		       mark.label, format_duration(mark.at_ns), format_bytes(mark.live_bytes),
		       format_plural(mark.live_blocks, "block", "blocks"));
		print_use(&recording->run, mark.label);
	}
	mark_release(&mark);
	return 0;
}

static int set(struct recording *recording, const char *label, struct error *error)
{
	const struct control control = {
		.command = "mark",
		.action = HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_MARK,
		.print = print_reply,
		.label = label,
		.mark = true,
	};
	int64_t taken_ns = -1;

	if (label && mark_find(&recording->db, recording->run.run_id, label, &taken_ns, error))
		return cli_failed(error);
	if (taken_ns >= 0)
		return usage_error("mark", "run %s has a mark '%s' already",
				   format_plain(recording->run.run_id), label);
	if (!options.at && strcmp(recording->run.state, "running") == 0)
		return control_run(&control, &recording->run);
	return set_afterwards(recording, label, error) ? cli_failed(error) : STATUS_DONE;
}

static int mark_main(int argc, char **argv)
{
	struct recording recording = { .db = { NULL, NULL } };
	const char *run = NULL, *label = NULL;
	struct error error;
	int status;

	if (argc > (options.list ? 1 : 2))
		return usage_error("mark", "unexpected argument '%s'", argv[argc - 1]);
	if (options.list && options.at)
		return usage_error("mark", "--list and --at cannot be used together");
	if (options.list || argc == 2)
		run = argc ? argv[0] : NULL;
	if (!options.list && argc)
		label = argv[argc - 1];
	if (label && !*label)
		label = NULL;
	if (label && strlen(label) > LABEL_MOST)
		return usage_error("mark", "a mark has at most %d bytes", LABEL_MOST);
	if (label && moment_is_word(label))
		return usage_error("mark",
				   "'%s' already means a moment of every run; choose "
				   "another text",
				   label);
	if (recording_open_run(&recording, run, &error))
		status = cli_failed(&error);
	else if (options.list)
		status = list_marks(&recording, &error) ? cli_failed(&error) : STATUS_DONE;
	else
		status = set(&recording, label, &error);
	recording_close(&recording);
	return status;
}

const struct command command_mark = {
	.name = "mark",
	.arguments = "[[RUN] TEXT]",
	.summary = "name this moment of a run, and store all that is known of it",
	.details = "A mark can be given wherever a moment is asked for: 'leaks --since TEXT' says\n"
		   "what was allocated since then and is still live. While the run goes on, "
		   "'report',\n"
		   "'leaks' and 'pages' speak of this moment afterwards, with the names of "
		   "functions;\n"
		   "processes that are dormant or paused list their live blocks once and are so\n"
		   "again. A run that has ended is marked with --at MOMENT, else at its end.\n"
		   "A program sets marks itself with heaptape_mark(\"TEXT\") of heaptape.h.\n"
		   "Without TEXT, or if that is empty, it is called 'mark 1', 'mark 2' and so on.\n"
		   "\n"
		   "A MOMENT is " MOMENT_HELP,
	.options = rows,
	.main = mark_main,
};
