#include "viewer/command/control.h"

#include <string.h>

#include "viewer/command/recording.h"
#include "viewer/print/format.h"
#include "viewer/print/json.h"
#include "viewer/record/control.h"

#define WAIT_MOST_S 86400

int64_t control_wait_s = 5;

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

static void print_json(const struct run *run, const Heaptape__RunControlReply *reply, bool mark)
{
	struct json json;

	json_init(&json, stdout);
	json_object(&json, NULL);
	json_number(&json, "run_id", run->run_id);
	json_bool(&json, "recording", reply->recording);
	if (mark) {
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

void control_print_processes(const Heaptape__RunControlReply *reply, bool mark)
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
		if (!text && mark)
			printf(", peak so far %s", format_bytes((int64_t)process->peak_bytes));
		putchar('\n');
	}
	if (reply->more_processes)
		printf("  and %s more\n",
		       format_plural(reply->more_processes, "process", "processes"));
}

static int find_run(const char *name, struct run *ret_run, struct error *error)
{
	struct db db = { NULL, NULL };
	int64_t run_id = 0;
	int result = recording_open_db(cli_database(), &db, error);

	if (!result)
		result = run_select(&db, name, &run_id, error);
	if (!result)
		result = run_load(&db, run_id, ret_run, error);
	db_close(&db);
	return result;
}

int control_run(const struct control *control, const struct run *run)
{
	Heaptape__Frame *reply;
	struct error error;

	if (control_wait_s < 0 || control_wait_s > WAIT_MOST_S)
		return usage_error(control->command, "--wait is a number of seconds, at most %d",
				   WAIT_MOST_S);
	if (strcmp(run->state, "running") != 0) {
		complain("run %s has ended; there is nothing to %s. 'heaptape runs' lists the "
			 "runs that are still going",
			 format_plain(run->run_id), control->command);
		return STATUS_FAILED;
	}
	if (control_ask(run, control->action, control->label ? control->label : "", control_wait_s,
			&reply, &error))
		return cli_failed(&error);
	if (shared.json)
		print_json(run, reply->run_control_reply, control->mark);
	else
		control->print(run, reply->run_control_reply);
	heaptape__frame__free_unpacked(reply, NULL);
	return STATUS_DONE;
}

int control_main(const struct control *control, int argc, char **argv)
{
	struct error error;
	struct run run;
	int status;

	if (argc > 1)
		return usage_error(control->command, "unexpected argument '%s'", argv[1]);
	if (find_run(argc ? argv[0] : NULL, &run, &error))
		return cli_failed(&error);
	status = control_run(control, &run);
	run_release(&run);
	return status;
}
