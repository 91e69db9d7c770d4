/*
 * The timeline: at first a sample every millisecond that has events; when there are SAMPLES_MAX,
 * every other one goes and the step doubles. So a run of any length has some hundred samples.
 */
#include "daemon/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAMPLES_MAX 1024u
#define FIRST_STEP_NS 1000000u
#define RSS_STEP_NS 2000000u

void samples_init(struct process *process)
{
	struct samples *samples = &process->samples;
	char path[64];

	samples->step_ns = FIRST_STEP_NS;
	samples->statm_fd = -1;
	samples->times = calloc(SAMPLES_MAX + 1, sizeof(*samples->times));
	samples->unsaved = calloc(SAMPLES_MAX + 1, sizeof(*samples->unsaved));
	if (process->peer_pid > 0) {
		snprintf(path, sizeof(path), "/proc/%d/statm", (int)process->peer_pid);
		samples->statm_fd = open(path, O_RDONLY | O_CLOEXEC);
	}
}

void samples_release(struct process *process)
{
	if (process->samples.statm_fd >= 0)
		close(process->samples.statm_fd);
	process->samples.statm_fd = -1;
	free(process->samples.times);
	free(process->samples.unsaved);
	process->samples.times = NULL;
	process->samples.unsaved = NULL;
}

void samples_rss(struct process *process)
{
	struct samples *samples = &process->samples;
	uint64_t now = clock_monotonic_ns();
	unsigned long long pages;
	char text[128];
	ssize_t got;

	if (samples->statm_fd < 0 || now - samples->rss_read_ns < RSS_STEP_NS)
		return;
	samples->rss_read_ns = now;
	got = pread(samples->statm_fd, text, sizeof(text) - 1, 0);
	if (got <= 0)
		return;
	text[got] = '\0';
	if (sscanf(text, "%*u %llu", &pages) == 1 && pages) {
		samples->rss_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
		if (samples->rss_bytes > samples->peak_rss_bytes)
			samples->peak_rss_bytes = samples->rss_bytes;
	}
}

/* Removes every other sample. */
static void thin(struct process *process)
{
	struct samples *samples = &process->samples;
	struct writer *writer = &process->daemon->writer;
	uint32_t saved = samples->count - samples->unsaved_count, kept = 0, unsaved = 0;

	for (uint32_t i = 0; i < samples->count; i++) {
		if (i % 2 == 0) {
			if (i >= saved)
				samples->unsaved[unsaved++] = samples->unsaved[i - saved];
			samples->times[kept++] = samples->times[i];
		} else if (i < saved) {
			struct statement *remove = writer_statement(writer, SQL_SAMPLE_REMOVE);

			writer_bind(remove, { P_process_id, (uint64_t)process->process_id },
				    { P_at_ns, samples->times[i] });
			writer_run(writer, remove);
		}
	}
	samples->count = kept;
	samples->unsaved_count = unsaved;
	samples->step_ns *= 2;
}

void samples_add(struct process *process, uint64_t at_ns)
{
	struct samples *samples = &process->samples;
	const struct totals *totals = &process->totals;
	struct sample *sample;

	samples_rss(process);
	samples->next_ns = at_ns - at_ns % samples->step_ns + samples->step_ns;
	if (!samples->times || !samples->unsaved)
		return;
	if (samples->count && samples->times[samples->count - 1] >= at_ns) {
		if (samples->times[samples->count - 1] > at_ns || !samples->unsaved_count)
			return;
		/* The same moment, later: the newer numbers count. */
		samples->count--;
		samples->unsaved_count--;
	}
	if (samples->count >= SAMPLES_MAX)
		thin(process);
	samples->times[samples->count++] = at_ns;
	sample = &samples->unsaved[samples->unsaved_count++];
	*sample = (struct sample){
		.at_ns = at_ns,
		.live_blocks = totals_live_blocks(totals),
		.live_bytes = totals_live_bytes(totals),
		.held_bytes = totals->held_bytes,
		.rss_bytes = samples->rss_bytes,
		.allocations = totals->allocations,
		.frees = totals->frees,
	};
}

void samples_save(struct process *process)
{
	struct samples *samples = &process->samples;
	struct writer *writer = &process->daemon->writer;

	for (uint32_t i = 0; i < samples->unsaved_count; i++) {
		const struct sample *sample = &samples->unsaved[i];
		struct statement *set = writer_statement(writer, SQL_SAMPLE_SET);

		writer_bind(set, { P_process_id, (uint64_t)process->process_id },
			    { P_at_ns, sample->at_ns }, { P_live_blocks, sample->live_blocks },
			    { P_live_bytes, sample->live_bytes },
			    { P_held_bytes, sample->held_bytes },
			    { P_rss_bytes, sample->rss_bytes },
			    { P_allocations, sample->allocations }, { P_frees, sample->frees });
		if (writer_run(writer, set) != 0)
			break;
	}
	samples->unsaved_count = 0;
}
