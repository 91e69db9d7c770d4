#include "daemon/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/commit.h"
#include "daemon/process.h"
#include "daemon/resolver.h"
#include "daemon/run.h"
#include "proto/wire.h"

/* Processes named in a reply, with the most pressing first. */
#define REPLY_PROCESSES_MAX 500u
/* Events of a moment are in hand so long after it, whatever their threads do. */
#define SETTLE_NS 20000000u

static struct run *find_run(struct daemon *daemon, int64_t run_id)
{
	for (struct run *run = daemon->runs; run; run = run->next)
		if (run->run_id == run_id)
			return run;
	return NULL;
}

/* -- replies -- */

static void reply(struct control *control, Heaptape__RunControlReply *message)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;

	frame.body_case = HEAPTAPE__FRAME__BODY_RUN_CONTROL_REPLY;
	frame.run_control_reply = message;
	control->calls->send(control, &frame);
	control->answered = true;
}

static void refuse(struct control *control, const char *why)
{
	Heaptape__RunControlReply message = HEAPTAPE__RUN_CONTROL_REPLY__INIT;

	message.error = (char *)why;
	reply(control, &message);
}

static void answer(struct control *control, const struct run *run)
{
	Heaptape__RunControlProcess *rows = calloc(REPLY_PROCESSES_MAX, sizeof(*rows));
	Heaptape__RunControlProcess *pointers[REPLY_PROCESSES_MAX];
	Heaptape__RunControlReply message = HEAPTAPE__RUN_CONTROL_REPLY__INIT;
	char label[sizeof(control->label)];

	for (struct process *p = rows ? run->daemon->processes : NULL; p; p = p->next) {
		Heaptape__RunControlProcess *row = &rows[message.n_processes];
		bool asked = control->stored && control->off_again;

		if (p->run != run)
			continue;
		if (message.n_processes == REPLY_PROCESSES_MAX) {
			message.more_processes++;
			continue;
		}
		pointers[message.n_processes++] = row;
		heaptape__run_control_process__init(row);
		row->process_id = (uint64_t)p->process_id;
		row->pid = (uint32_t)p->pid;
		row->state = asked ? p->marked_state : follow_state(p);
		row->listed_blocks = p->gap.listed_blocks;
		row->listed_bytes = p->gap.listed_bytes;
		row->live_blocks = totals_live_blocks(&p->totals);
		row->live_bytes = totals_live_bytes(&p->totals);
		row->peak_bytes = p->totals.peak_bytes;
	}
	snprintf(label, sizeof(label), "%s", control->label);
	message.recording = run->recording;
	message.at_ns = control->at_ns;
	message.label = label;
	message.symbols_pending = control->stored && control->all->resolver->worker.pid;
	message.processes = pointers;
	reply(control, &message);
	free(rows);
}

/* -- requests -- */

int control_request(struct controls *controls, struct control *control,
		    const struct control_calls *calls, const Heaptape__RunControl *message)
{
	struct run *run = find_run(controls->daemon, (int64_t)message->run_id);
	struct control **end = &controls->first;

	while (*end)
		end = &(*end)->next;
	*end = control;
	control->all = controls;
	control->calls = calls;
	if (message->wire_version != WIRE_VERSION) {
		refuse(control,
		       "the daemon speaks another version of the protocol; use parts of one "
		       "release");
		return 0;
	}
	/* Of a run that is over the names may still be missing. */
	if (message->action == HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_NAMES) {
		control->run_id = (int64_t)message->run_id;
		control->action = message->action;
		control->until_ns = clock_monotonic_ns() + message->wait_ms * UINT64_C(1000000);
		return 0;
	}
	if (!run || run->started_at != message->started_at) {
		refuse(control, "the daemon does not record it any more");
		return 0;
	}
	if (message->action < HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_PAUSE ||
	    message->action > HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_MARK)
		return -EPROTO;
	control->run_id = run->run_id;
	control->action = message->action;
	snprintf(control->label, sizeof(control->label), "%s", message->label);
	control->began_ns = clock_monotonic_ns();
	control->until_ns = control->began_ns + message->wait_ms * UINT64_C(1000000);
	if (control->action == HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_MARK) {
		control->off_again = !run->recording;
		follow_switch(run, true);
		return 0;
	}
	/* What somebody says now counts, not what a mark would restore. */
	for (struct control *other = controls->first; other; other = other->next)
		if (other->run_id == run->run_id)
			other->off_again = false;
	follow_switch(run, control->action == HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_RESUME);
	return 0;
}

/* Some process of the run does not do yet what was asked. */
static bool somebody_waits(const struct run *run)
{
	for (struct process *p = run->daemon->processes; p; p = p->next) {
		enum _Heaptape__RunControlState state;

		if (p->run != run)
			continue;
		state = follow_state(p);
		if (state == HEAPTAPE__RUN_CONTROL_STATE__RUN_CONTROL_WAITS ||
		    state == HEAPTAPE__RUN_CONTROL_STATE__RUN_CONTROL_LISTS)
			return true;
	}
	return false;
}

/* Stores everything that is known of the run's processes, and the moment. */
static void set_mark(struct control *control, struct run *run)
{
	struct writer *writer = &run->daemon->writer;
	uint64_t processes = 0, missing = 0, live_blocks = 0, live_bytes = 0;
	bool stacks = run->has_stacks;
	struct statement *statement;
	int64_t mark_id;

	control->at_ns = clock_monotonic_ns() - run->started_ns;
	for (struct process *p = run->daemon->processes; p; p = p->next) {
		if (p->run != run)
			continue;
		process_poll(p);
		p->marked_state = follow_state(p);
		samples_add(p, p->last_ns > control->at_ns ? p->last_ns : control->at_ns);
		chunks_show(p);
		save_process(p, true);
		stacks = stacks || p->node_count > 1;
		processes++;
		missing += p->marked_state != HEAPTAPE__RUN_CONTROL_STATE__RUN_CONTROL_FOLLOWS;
		live_blocks += totals_live_blocks(&p->totals);
		live_bytes += totals_live_bytes(&p->totals);
	}
	statement = writer_statement(writer, SQL_MARK_ADD);
	writer_bind_known(statement, P_process_id, false, 0);
	writer_bind(statement, { P_run_id, (uint64_t)run->run_id }, { P_at_ns, control->at_ns },
		    { P_processes, processes }, { P_missing, missing },
		    { P_live_blocks, live_blocks }, { P_live_bytes, live_bytes });
	writer_bind_text(statement, P_label, control->label);
	mark_id = writer_add(writer, statement);
	if (mark_id > 0) {
		statement = writer_statement(writer, SQL_MARK_LABEL);
		writer_bind(statement, { P_mark_id, (uint64_t)mark_id });
		writer_text(writer, statement, P_label, control->label, sizeof(control->label));
	}
	control->stored = true;
	if (control->off_again)
		follow_switch(run, false);
	if (stacks)
		run->daemon->calls->run_done(run->daemon, run->run_id, true);
}

/* Names are looked up, and the answer is that it is done, whatever came of it. */
static void check_names(struct control *control, const struct run *run)
{
	Heaptape__RunControlReply message = HEAPTAPE__RUN_CONTROL_REPLY__INIT;

	if (run && !control->stored) {
		commit_all(control->all->daemon);
		resolver_request(control->all->resolver, run->run_id);
	}
	control->stored = true;
	if (!control->all->resolver->worker.pid || clock_monotonic_ns() >= control->until_ns)
		reply(control, &message);
}

void control_check(struct control *control)
{
	const struct writer *writer = &control->all->daemon->writer;
	uint64_t now = clock_monotonic_ns(), failures;
	struct run *run;

	if (control->answered)
		return;
	run = find_run(control->all->daemon, control->run_id);
	if (control->action == HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_NAMES) {
		check_names(control, run);
		return;
	}
	if (!run) {
		refuse(control, "it has ended meanwhile");
		return;
	}
	if (control->stored) {
		if (!control->all->resolver->worker.pid || now >= control->until_ns)
			answer(control, run);
		return;
	}
	if (now - control->began_ns < SETTLE_NS || (somebody_waits(run) && now < control->until_ns))
		return;
	if (control->action != HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_MARK) {
		commit_all(control->all->daemon); /* who asks next finds the gap */
		answer(control, run);
		return;
	}
	failures = writer->failures;
	set_mark(control, run);
	commit_all(control->all->daemon);
	if (writer->failures != failures)
		refuse(control, writer->error.text);
}

void control_gone(struct control *control)
{
	struct run *run = find_run(control->all->daemon, control->run_id);
	struct control **link = &control->all->first;

	while (*link != control)
		link = &(*link)->next;
	*link = control->next;
	if (run && control->off_again && !control->stored)
		follow_switch(run, false);
}

void controls_check(struct controls *controls)
{
	for (struct control *control = controls->first; control; control = control->next)
		control_check(control);
}
