#include "viewer/print/summary.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/command/cli.h"
#include "viewer/model/db.h"
#include "viewer/print/format.h"
#include "viewer/model/gaps.h"
#include "viewer/print/table.h"

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

const char *lost_text(const struct run *run)
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

const char *shell_word(const char *word)
{
	static char quoted[512];
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-+=./,:@%";
	char *to = quoted;

	if (*word && strspn(word, plain) == strlen(word) && strlen(word) < sizeof(quoted))
		return strcpy(quoted, word);
	*to++ = '\'';
	for (; *word && to < quoted + sizeof(quoted) - 8; word++) {
		if (*word == '\'') {
			memcpy(to, "'\\''", 4);
			to += 4;
		} else {
			*to++ = *word;
		}
	}
	*to++ = '\'';
	*to = 0;
	return quoted;
}

const char *database_option(const char *database)
{
	static char text[600];
	const char *environment = getenv("HEAPTAPE_DB");

	if (!database ||
	    !strcmp(database, environment && *environment ? environment : "heaptape.db"))
		return "";
	snprintf(text, sizeof(text), " --db %s", shell_word(database));
	return text;
}

#define UNRECORDED_TOLD 3

static void unrecorded_lines(FILE *out, sqlite3 *db, const struct run *run)
{
	sqlite3_stmt *row = db_query(db,
				     "SELECT count(*), command, unrecorded_reason FROM processes "
				     "WHERE run_id = ? AND unrecorded_reason IS NOT NULL "
				     "GROUP BY executable, unrecorded_reason ORDER BY 1 DESC",
				     "i", run->run_id);
	int64_t told = 0;
	int lines = 0;

	while (db_next(row)) {
		int64_t count = column_number(row, 0, 0);
		char *command;

		if (lines == UNRECORDED_TOLD)
			continue;
		command = text_fit(command_short(column_string(row, 1)), 40, FIT_START);
		line(out, lines++ ? "" : "unrecorded", "%s%s%s: %s", command,
		     count > 1 ? ", processes like it: " : "", count > 1 ? format_count(count) : "",
		     column_string(row, 2));
		free(command);
		told += count;
	}
	if (told < run->unrecorded)
		line(out, "", "and %s more; 'heaptape report' lists them",
		     format_count(run->unrecorded - told));
}

void summary_print(FILE *out, sqlite3 *db, const struct run *run,
		   const struct summary_context *context)
{
	int width = terminal_width(out);
	char *head = must_print("heaptape: run %s%s%s%s · %s", format_plain(run->run_id),
				*run->label ? " '" : "", run->label, *run->label ? "'" : "",
				run->command);
	char *fitted = text_fit(head, width > 0 ? (size_t)width : 100, FIT_START);

	/* On a terminal the program may have left the cursor anywhere. */
	if (isatty(fileno(out)))
		fputc('\n', out);
	fprintf(out, "%s%s%s\n", style_on(out, STYLE_BOLD), fitted, style_on(out, STYLE_OFF));
	free(head);
	free(fitted);
	if (run_duration(run) == UNKNOWN)
		line(out, "program", "%s", run_ending(run));
	else
		line(out, "program", "%s after %s", run_ending(run),
		     format_duration(run_duration(run)));
	if (context->still_running)
		line(out, "", "%s still running; the run goes on",
		     format_plural(context->still_running, "process is", "processes are"));
	if (!run->processes) {
		line(out, "recorded", "nothing");
		if (!run->unrecorded)
			line(out, "", "%s",
			     "the shim was not loaded, or could not reach the daemon");
		unrecorded_lines(out, db, run);
		return;
	}
	if (run->processes > 1)
		line(out, "processes", "%s%s", format_count(run->processes - run->execs),
		     context->still_running
			     ? ""
			     : ", counted together; the peak is that of the largest");
	if (gaps_nothing(run)) {
		line(out, "recorded", "%s", gaps_nothing(run));
		return;
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
	     run->lost_events ? style_on(out, STYLE_WARN) : "", lost_text(run),
	     run->lost_events ? style_on(out, STYLE_OFF) : "",
	     run->foreign_frees ? ", some frees of foreign blocks" : "");
	if (run->foreign_symbols)
		line(out, "", "%s", run_foreign(run));
	if (run->unrecorded)
		unrecorded_lines(out, db, run);
	if (gaps_text(run))
		line(out, "gaps", "%s", gaps_text(run));
	if (run->events)
		line(out, "cost", "%s%s for the daemon; %.2f bytes stored per event (%s);",
		     run->wait_ns ? "waited " : "no waiting",
		     run->wait_ns ? format_duration(run->wait_ns) : "",
		     (double)run->chunk_bytes / (double)run->events,
		     format_bytes(run->chunk_bytes));
	line(out, run->events ? "" : "cost", "this summary %s after the program's end",
	     format_duration(context->summary_after_ns));
	line(out, "next", "heaptape report%s%s", database_option(context->database), "");
}
