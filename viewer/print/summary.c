#include "viewer/print/summary.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/memory.h"
#include "viewer/model/lists.h"
#include "viewer/print/format.h"
#include "viewer/print/run_text.h"
#include "viewer/print/shell.h"
#include "viewer/print/text.h"

static void line(FILE *out, const char *label, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void line(FILE *out, const char *label, const char *format, ...)
{
	va_list list;

	fprintf(out, "  %s%-12s%s", style_on(out, STYLE_DIM), label, style_on(out, STYLE_OFF));
	va_start(list, format);
	vfprintf(out, format, list);
	va_end(list);
	fputc('\n', out);
}

#define UNRECORDED_TOLD 3

static int unrecorded_lines(FILE *out, struct db *db, const struct run *run, struct error *error)
{
	struct unrecorded_kind kind;
	struct rows rows;
	int64_t told = 0;
	int lines = 0;
	int result = unrecorded_kinds_open(&rows, db, run, error);

	while (!result && (result = rows_next(&rows, &kind, error)) > 0) {
		char *command = text_fit(command_short(kind.command), 40, FIT_START);

		if (lines < UNRECORDED_TOLD) {
			line(out, lines++ ? "" : "unrecorded", "%s%s%s: %s", command,
			     kind.programs > 1 ? ", processes like it: " : "",
			     kind.programs > 1 ? format_count(kind.programs) : "",
			     kind.unrecorded_reason);
			told += kind.programs;
		}
		free(command);
		result = 0;
	}
	if (!result && told < run->unrecorded)
		line(out, "", "and %s more; 'heaptape report' lists them",
		     format_count(run->unrecorded - told));
	return result;
}

int summary_print(FILE *out, struct db *db, const struct run *run,
		  const struct summary_context *context, struct error *error)
{
	int width = terminal_width(out), result = 0;
	char *head = memory_print("heaptape: run %s%s%s%s · %s", format_plain(run->run_id),
				  *run->label ? " '" : "", run->label, *run->label ? "'" : "",
				  run->command);
	char *fitted = text_fit(head, width > 0 ? (size_t)width : 100, FIT_START);

	/* On a terminal the program may have left the cursor anywhere. */
	if (isatty(fileno(out)))
		fputc('\n', out);
	fprintf(out, "%s%s%s\n", style_on(out, STYLE_BOLD), fitted, style_on(out, STYLE_OFF));
	free(head);
	free(fitted);
	if (run->duration_ns == UNKNOWN)
		line(out, "program", "%s", run_text_ending(run));
	else
		line(out, "program", "%s after %s", run_text_ending(run),
		     format_duration(run->duration_ns));
	if (context->still_running)
		line(out, "", "%s still running; the recording continues",
		     format_plural(context->still_running, "process is", "processes are"));
	if (!run->processes) {
		line(out, "recorded", "nothing");
		if (!run->unrecorded)
			line(out, "", "%s",
			     "the shim was not loaded, or could not reach the daemon");
		return unrecorded_lines(out, db, run, error);
	}
	if (run->processes > 1)
		line(out, "processes", "%s%s", format_count(run->processes - run->execs),
		     context->still_running
			     ? ""
			     : ", counted together; the peak is that of the largest");
	if (run_text_nothing(run)) {
		line(out, "recorded", "%s", run_text_nothing(run));
		return 0;
	}
	line(out, "allocations", "%s, %s requested", format_count(run->allocations),
	     format_bytes(run->allocated_bytes));
	line(out, "frees", "%s, %s", format_count(run->frees), format_bytes(run->freed_bytes));
	if (run->peak_ns == UNKNOWN)
		line(out, "peak", "%s", "-");
	else if (run->processes > 1)
		line(out, "peak", "%s in %s, %s into the run (process %s)",
		     format_bytes(run->peak_bytes),
		     format_plural(run->peak_blocks, "block", "blocks"),
		     format_duration(run->peak_ns), format_plain(run->peak_pid));
	else
		line(out, "peak", "%s in %s, %s into the run", format_bytes(run->peak_bytes),
		     format_plural(run->peak_blocks, "block", "blocks"),
		     format_duration(run->peak_ns));
	line(out, "still live", "%s in %s at the end", format_bytes(run->live_bytes),
	     format_plural(run->live_blocks, "block", "blocks"));
	line(out, "pages held", "%s at most%s%s", format_bytes(run->peak_held_bytes),
	     run->peak_rss_bytes ? ", resident set " : "",
	     run->peak_rss_bytes ? format_bytes(run->peak_rss_bytes) : "");
	line(out, "recorded", "%s events, %s%s%s%s", format_count(run->events),
	     run->lost_events ? style_on(out, STYLE_WARN) : "", run_text_lost(run),
	     run->lost_events ? style_on(out, STYLE_OFF) : "",
	     run->foreign_frees ? ", some frees of foreign blocks" : "");
	if (run->foreign_symbols)
		line(out, "", "%s", run_text_foreign(run));
	if (run->unrecorded)
		result = unrecorded_lines(out, db, run, error);
	if (result)
		return result;
	if (run_text_gaps(run))
		line(out, "gaps", "%s", run_text_gaps(run));
	if (run->events)
		line(out, "cost", "%s%s for the daemon; %.2f bytes stored per event (%s);",
		     run->wait_ns ? "waited " : "no waiting",
		     run->wait_ns ? format_duration(run->wait_ns) : "",
		     (double)run->chunk_bytes / (double)run->events,
		     format_bytes(run->chunk_bytes));
	line(out, run->events ? "" : "cost", "this summary %s after the program's end",
	     format_duration(context->summary_after_ns));
	line(out, "next", "heaptape report%s%s", shell_database_option(context->database), "");
	return 0;
}
