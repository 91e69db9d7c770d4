#include "daemon/commit.h"

#include <stdio.h>

#include "daemon/process.h"

#define SAVE_NS 125000000u /* at the tick after so long everything is in the database */

void commit_check(struct daemon *daemon)
{
	if (daemon->failures_checked == daemon->writer.failures)
		return;
	daemon->failures_checked = daemon->writer.failures;
	if (!daemon->failure_told)
		fprintf(stderr,
			"heaptaped: %s\n"
			"heaptaped: recording stops here; the programs run on\n",
			daemon->writer.error.text);
	daemon->failure_told = true;
	daemon_retry(daemon);
}

void commit_all(struct daemon *daemon)
{
	uint64_t commits = daemon->writer.commits;

	for (struct process *process = daemon->processes; process; process = process->next) {
		chunks_show(process);
		save_process(process, false);
	}
	writer_commit(&daemon->writer);
	if (daemon->writer.commits != commits) {
		daemon->failure_told = false;
		daemon->frames_stored = daemon->stacks.frames_added;
	}
	commit_check(daemon);
	daemon->commit_ns = clock_monotonic_ns();
}

void commit_due(struct daemon *daemon)
{
	commit_check(daemon);
	if (clock_monotonic_ns() - daemon->commit_ns >= SAVE_NS)
		commit_all(daemon);
}
