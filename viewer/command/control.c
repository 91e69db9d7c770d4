/* heaptape pause, resume, snapshot: what can be asked of a run that goes on, of its daemon. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/event.pb-c.h"
#include "proto/wire.h"
#include "viewer/command/commands.h"
#include "viewer/command/recording.h"
#include "viewer/print/format.h"
#include "viewer/print/json.h"
#include "viewer/record/link.h"
#include "viewer/model/moment.h"
#include "viewer/model/run.h"
#include "viewer/print/shell.h"

#define WAIT_MOST_S 86400
/* The daemon answers in its time; it is given this much longer. */
#define GRACE_MS 10000

static struct {
	int64_t wait_s;
	const char *label;
} options = { .wait_s = 5 };

#define OPTION_WAIT                                                                            \
	{                                                                                      \
		"wait", 'w', "SECONDS", "for processes to follow (default: 5)", OPTION_NUMBER, \
			&options.wait_s                                                        \
	}

static const struct option_row rows[] = { OPTION_DB, OPTION_WAIT, OPTION_JSON, OPTIONS_END };

static const struct option_row snapshot_rows[] = {
	OPTION_DB,
	{ "label", 'l', "TEXT", "a name for the snapshot (default: 'snapshot 1', ...)", OPTION_TEXT,
	  &options.label },
	OPTION_WAIT,
	OPTION_JSON,
	OPTIONS_END
};

#define STATE(name) HEAPTAPE__RUN_CONTROL_STATE__RUN_CONTROL_##name

/* What this state is called in JSON, and what there is to say of it. */
static const struct {
	const char *name, *text;
} states[] = {
	[STATE(FOLLOWS)] = { "follows", NULL },
	[STATE(WAITS)] = { "waits",
			   "has not allocated since; it will follow at its next allocation" },
	[STATE(LISTS)] = { "lists",
			   "is listing the blocks that are live, some at each allocation" },
	[STATE(CANNOT)] = { "cannot",
			    "cannot be switched: it has --guard, or shares no memory with "
			    "the daemon" },
};
#define STATES (sizeof(states) / sizeof(*states))

/* Sends the request to the run's daemon; NULL: has complained. */
static Heaptape__Frame *ask(const struct run *run, enum _Heaptape__RunControlAction action)
{
	Heaptape__RunControl control = HEAPTAPE__RUN_CONTROL__INIT;
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT, *reply = NULL;
	int fd, result = link_connect(run->socket, &fd);

	if (result) {
		char host[256] = "";

		gethostname(host, sizeof(host) - 1);
		if (*run->host && strcmp(run->host, host) != 0)
			complain("run %s is recorded on '%s'; ask there", format_plain(run->run_id),
				 run->host);
		else
			complain("the daemon of run %s is gone (%s: %s). What it had stored is all "
				 "there is of the run",
				 format_plain(run->run_id), run->socket, strerror(-result));
		return NULL;
	}
	control.wire_version = WIRE_VERSION;
	control.run_id = (uint64_t)run->run_id;
	control.started_at = (uint64_t)run->started_at;
	control.action = action;
	control.label = (char *)(options.label ? options.label : "");
	control.wait_ms = (uint32_t)options.wait_s * 1000;
	frame.body_case = HEAPTAPE__FRAME__BODY_RUN_CONTROL;
	frame.run_control = &control;
	result = link_send(fd, &frame);
	if (!result)
		result = link_receive(fd, (int)control.wait_ms + GRACE_MS, &reply);
	close(fd);
	if (!result && reply->body_case == HEAPTAPE__FRAME__BODY_RUN_CONTROL_REPLY) {
		if (!*reply->run_control_reply->error)
			return reply;
		complain("run %s: %s", format_plain(run->run_id), reply->run_control_reply->error);
	} else {
		complain("the daemon of run %s %s", format_plain(run->run_id),
			 link_problem(result, reply));
	}
	if (reply)
		heaptape__frame__free_unpacked(reply, NULL);
	return NULL;
}

static void print_json(const struct run *run, const Heaptape__RunControlReply *reply, bool snapshot)
{
	struct json json;

	json_init(&json, stdout);
	json_object(&json, NULL);
	json_number(&json, "run_id", run->run_id);
	json_bool(&json, "recording", reply->recording);
	if (snapshot) {
		json_text(&json, "label", reply->label);
		json_number(&json, "at_ns", (int64_t)reply->at_ns);
		json_bool(&json, "symbols_pending", reply->symbols_pending);
	}
	json_array(&json, "processes");
	for (size_t i = 0; i < reply->n_processes; i++) {
		const Heaptape__RunControlProcess *process = reply->processes[i];

		json_object(&json, NULL);
		json_one_line(&json);
		json_number(&json, "process_id", (int64_t)process->process_id);
		json_number(&json, "pid", process->pid);
		json_text(&json, "state",
			  process->state < STATES ? states[process->state].name : "?");
		json_number(&json, "listed_blocks", (int64_t)process->listed_blocks);
		json_number(&json, "listed_bytes", (int64_t)process->listed_bytes);
		json_number(&json, "live_blocks", (int64_t)process->live_blocks);
		json_number(&json, "live_bytes", (int64_t)process->live_bytes);
		json_number(&json, "peak_bytes", (int64_t)process->peak_bytes);
		json_end(&json);
	}
	json_end(&json);
	json_number(&json, "more_processes", reply->more_processes);
	json_end(&json);
}

/* A line for each process that has something to say. */
static void print_processes(const Heaptape__RunControlReply *reply, bool snapshot)
{
	if (!reply->n_processes)
		puts("  no process of it runs at the moment; those to come will follow");
	for (size_t i = 0; i < reply->n_processes; i++) {
		const Heaptape__RunControlProcess *process = reply->processes[i];
		const char *text = process->state < STATES ? states[process->state].text : NULL;

		printf("  process %s", format_plain(process->pid));
		if (text)
			printf(" %s", text);
		if (process->state == STATE(LISTS))
			printf(" (%s so far)", format_count((int64_t)process->listed_blocks));
		if (!text)
			printf(": %s in %s live", format_bytes((int64_t)process->live_bytes),
			       format_plural((int64_t)process->live_blocks, "block", "blocks"));
		if (!text && snapshot)
			printf(", peak so far %s", format_bytes((int64_t)process->peak_bytes));
		putchar('\n');
	}
	if (reply->more_processes)
		printf("  and %s more\n",
		       format_plural(reply->more_processes, "process", "processes"));
}

/* *ret_taken: it has a snapshot of the label already. */
static int find_run(const char *name, struct run *ret_run, bool *ret_taken, struct error *error)
{
	struct db db = { NULL, NULL };
	int64_t run_id = 0, snapshots = 0;
	int result = recording_open_db(cli_database(), &db, error);

	if (!result)
		result = run_select(&db, name, &run_id, error);
	if (!result && options.label)
		result =
			rows_number(&snapshots, &db, error,
				    "SELECT count(*) AS number FROM snapshots WHERE run_id = ? AND "
				    "label = ?",
				    "is", run_id, options.label);
	if (!result)
		result = run_load(&db, run_id, ret_run, error);
	db_close(&db);
	*ret_taken = snapshots > 0;
	return result;
}

static int
control_main(const char *name, enum _Heaptape__RunControlAction action, int argc, char **argv,
	     void (*print)(const struct run *run, const Heaptape__RunControlReply *reply))
{
	bool snapshot = action == HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_SNAPSHOT;
	Heaptape__Frame *reply = NULL;
	struct error error;
	struct run run;
	bool taken;
	int result;

	if (argc > 1)
		return usage_error(name, "'%s' is one argument too many", argv[1]);
	if (options.wait_s < 0 || options.wait_s > WAIT_MOST_S)
		return usage_error(name, "--wait is a number of seconds, at most %d", WAIT_MOST_S);
	if (options.label && (!*options.label || strlen(options.label) > 200))
		return usage_error(name, "a label has 1 to 200 bytes");
	if (options.label && moment_is_word(options.label))
		return usage_error(name,
				   "'%s' already means a moment of every run; choose another label",
				   options.label);
	result = find_run(argc ? argv[0] : NULL, &run, &taken, &error);
	if (result)
		return cli_failed(&error);
	if (snapshot && taken) {
		int64_t run_id = run.run_id;

		run_release(&run);
		return usage_error(name, "run %s has a snapshot '%s' already", format_plain(run_id),
				   options.label);
	}
	if (strcmp(run.state, "running") != 0)
		complain("run %s has ended; there is nothing to %s. 'heaptape runs' says which go "
			 "on.",
			 format_plain(run.run_id), name);
	else
		reply = ask(&run, action);
	if (reply && shared.json)
		print_json(&run, reply->run_control_reply, snapshot);
	else if (reply)
		print(&run, reply->run_control_reply);
	run_release(&run);
	if (!reply)
		return STATUS_FAILED;
	heaptape__frame__free_unpacked(reply, NULL);
	return STATUS_DONE;
}

static void print_pause(const struct run *run, const Heaptape__RunControlReply *reply)
{
	printf("Run %s is paused: nothing is recorded until 'heaptape resume%s %s'.\n",
	       format_plain(run->run_id), shell_database_option(shared.db),
	       format_plain(run->run_id));
	print_processes(reply, false);
}

static void print_resume(const struct run *run, const Heaptape__RunControlReply *reply)
{
	printf("Run %s is recorded from now on.\n", format_plain(run->run_id));
	print_processes(reply, false);
}

static void print_snapshot(const struct run *run, const Heaptape__RunControlReply *reply)
{
	const char *option = shell_database_option(shared.db);

	printf("Run %s, '%s' at %s%s\n", format_plain(run->run_id), reply->label,
	       format_duration((int64_t)reply->at_ns),
	       reply->recording ? "" : "; nothing is recorded from here on, as before");
	print_processes(reply, true);
	if (reply->symbols_pending)
		puts("  names of functions are still being looked up");
	printf("What is live now and younger, later: heaptape leaks%s --since %s %s\n", option,
	       shell_word(reply->label), format_plain(run->run_id));
}

static int pause_main(int argc, char **argv)
{
	return control_main("pause", HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_PAUSE, argc, argv,
			    print_pause);
}

static int resume_main(int argc, char **argv)
{
	return control_main("resume", HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_RESUME, argc, argv,
			    print_resume);
}

static int snapshot_main(int argc, char **argv)
{
	return control_main("snapshot", HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_SNAPSHOT, argc,
			    argv, print_snapshot);
}

const struct command command_pause = {
	.name = "pause",
	.arguments = "[RUN]",
	.summary = "stop recording a run that goes on",
	.details = "Its processes run at the allocator's full speed until 'heaptape resume'. What "
		   "they\n"
		   "allocate and free meanwhile is not recorded; the report says so.",
	.options = rows,
	.main = pause_main,
};

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

const struct command command_snapshot = {
	.name = "snapshot",
	.arguments = "[RUN]",
	.summary = "store all that is known of a run now, and mark the moment",
	.details =
		"Afterwards 'report', 'leaks' and 'pages' speak of this moment, with the names of\n"
		"functions, and 'leaks --since LABEL' says what has come since and is still live.\n"
		"Processes that are dormant or paused list their live blocks once and are so "
		"again.",
	.options = snapshot_rows,
	.main = snapshot_main,
};
