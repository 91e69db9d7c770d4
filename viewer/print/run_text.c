#include "viewer/print/run_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "viewer/print/format.h"

static const char *ending_text(const char *state, int64_t exit_code, int64_t exit_signal)
{
	static char text[96];

	if (exit_signal != UNKNOWN && exit_signal > 0) {
		const char *name = sigabbrev_np((int)exit_signal);

		if (name)
			snprintf(text, sizeof(text), "killed by SIG%s", name);
		else
			snprintf(text, sizeof(text), "killed by signal %d", (int)exit_signal);
	} else if (exit_code != UNKNOWN) {
		snprintf(text, sizeof(text), "exited with %d", (int)exit_code);
	} else if (!strcmp(state, "running")) {
		snprintf(text, sizeof(text), "still running");
	} else {
		snprintf(text, sizeof(text), "its end is not recorded");
	}
	return text;
}

const char *run_text_ending(const struct run *run)
{
	return ending_text(run->state, run->exit_code, run->exit_signal);
}

const char *run_text_foreign(const struct run *run)
{
	static char text[512];

	snprintf(text, sizeof(text),
		 "%s its own allocator (%.300s), %s not ours: what it gives out of its own is not "
		 "recorded",
		 run->foreign_programs > 1 ? "more than one program brings"
		 : run->processes > 1	   ? "one program brings"
					   : "this program brings",
		 run->foreign_path, format_plural(run->foreign_symbols, "symbol", "symbols"));
	return text;
}

const char *run_text_lost(const struct run *run)
{
	static char text[64];

	if (!run->lost_events)
		return strcmp(run->state, "cut") == 0 ? "what came later is missing"
		       : strcmp(run->state, "incomplete") == 0
			       ? "some are missing; the report says why"
			       : "none lost";
	snprintf(text, sizeof(text), "%s lost", format_count(run->lost_events));
	return text;
}

const char run_text_gaps_legend[] =
	"  Allocations and frees within these times are not counted. What is live was listed when\n"
	"  recording went on, so live numbers are right from then on; while it is off they are "
	"those\n"
	"  of when it went off. Of blocks that were never recorded the size is known, rounded up, "
	"but\n"
	"  not the call stack. Peaks are those of the times in between.\n";

const char *run_text_nothing(const struct run *run)
{
	if (!run->gaps_open || run->events || run->gaps > run->gaps_open)
		return NULL;
	if (!strcmp(run->state, "running"))
		return "nothing yet: it was started dormant; 'heaptape resume' switches recording "
		       "on";
	return "nothing: it was started dormant, and nobody switched recording on with 'heaptape "
	       "resume'";
}

const char *run_text_gaps(const struct run *run)
{
	if (!run->gaps)
		return NULL;
	if (run->gaps_open && !strcmp(run->state, "running"))
		return "recording is off at the moment ('heaptape resume' switches it on)";
	if (run->gaps_open)
		return "recording was off at the end: what is live is as of when it went off";
	return "recording was off for a time: what happened then is not counted";
}
