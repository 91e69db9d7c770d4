/*
 * Processes follow their run: whether it is recorded is told through the control word in their shared
 * memory (proto/ring.h), and each does so at its next allocation call.
 */
#include "daemon/process.h"

#include <stdio.h>
#include <string.h>

#include "daemon/run.h"

/* Recording stays off so long at least, for calls that were being recorded as it went off. */
#define OFF_LEAST_NS 300000000u

static bool can_switch(const struct process *process)
{
	return process->ring.fd >= 0 && !process->cut && !process->ring.head.always_on;
}

/* The process is stopped (SIGSTOP, a debugger). */
static bool is_stopped(const struct process *process)
{
	char path[64], text[512], *state;
	FILE *file;
	size_t got;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)process->peer_pid);
	file = process->peer_pid > 0 ? fopen(path, "re") : NULL;
	if (!file)
		return false;
	got = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[got] = '\0';
	state = strrchr(text, ')');
	return state && state[1] && (state[2] == 'T' || state[2] == 't');
}

/*
 * Every call that began before recording went off is over by now. Nothing in the process says so; but
 * a call takes no time to speak of, so enough time for the process to run is enough.
 */
static bool has_settled(struct process *process)
{
	uint64_t now = clock_monotonic_ns();

	if (!process->off_ns)
		return true; /* it was never on */
	if (is_stopped(process))
		process->off_ns = now;
	return now - process->off_ns >= OFF_LEAST_NS;
}

/* Makes the process do as its run does. */
static void follow(struct process *process)
{
	bool recording = process->run->recording;

	if (!can_switch(process) || recording == process->recording)
		return;
	if (recording && (process->turn == RING_TURN_MAX || !has_settled(process)))
		return;
	process->recording = recording;
	if (recording) {
		ring_park(&process->ring);
		gap_look(process);
		process->turn++;
	} else {
		process->off_ns = clock_monotonic_ns();
		gap_begin(process, process->off_ns - process->run->started_ns);
	}
	ring_control(&process->ring, process->turn << RING_CONTROL_TURN_SHIFT |
					     (recording ? RING_CONTROL_RECORD : 0));
}

void follow_new_process(struct process *process, const Heaptape__Hello *hello)
{
	process->recording = process->ring.fd >= 0
				     ? process->ring.head.control & RING_CONTROL_RECORD
				     : !run_dormant(hello->settings, hello->n_settings);
	if (!process->recording)
		gap_begin(process, clock_ns(&process->scale, hello->ticks));
	follow(process);
}

void follow_tick(struct daemon *daemon)
{
	for (struct process *p = daemon->processes; p; p = p->next)
		follow(p);
}

void follow_switch(struct run *run, bool recording)
{
	run->recording = recording;
	for (struct process *p = run->daemon->processes; p; p = p->next)
		if (p->run == run)
			follow(p);
}

enum _Heaptape__RunControlState follow_state(const struct process *process)
{
	const struct ring_head *head = &process->ring.head;

	if (!can_switch(process))
		return process->recording == process->run->recording
			       ? HEAPTAPE__RUN_CONTROL_STATE__RUN_CONTROL_FOLLOWS
			       : HEAPTAPE__RUN_CONTROL_STATE__RUN_CONTROL_CANNOT;
	if (process->recording != process->run->recording)
		return HEAPTAPE__RUN_CONTROL_STATE__RUN_CONTROL_WAITS;
	if (!process->recording || !process->turn)
		return HEAPTAPE__RUN_CONTROL_STATE__RUN_CONTROL_FOLLOWS;
	if (head->begun_turn != process->turn)
		return HEAPTAPE__RUN_CONTROL_STATE__RUN_CONTROL_WAITS;
	if (head->listed_turn != process->turn || process->gap.turn != process->turn ||
	    (process->gap.listed_blocks < head->listed_blocks && !process_lost_events(process)))
		return HEAPTAPE__RUN_CONTROL_STATE__RUN_CONTROL_LISTS;
	return HEAPTAPE__RUN_CONTROL_STATE__RUN_CONTROL_FOLLOWS;
}
