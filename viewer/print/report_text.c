#include "viewer/print/report_text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/model/lists.h"
#include "viewer/print/format.h"
#include "viewer/print/misuses.h"
#include "viewer/print/report_tables.h"
#include "viewer/print/run_text.h"
#include "viewer/print/shell.h"
#include "viewer/print/text.h"

#define NOTES_SHOWN 20

static void heading(FILE *out, const char *text)
{
	fprintf(out, "\n%s%s%s\n", style_on(out, STYLE_BOLD), text, style_on(out, STYLE_OFF));
}

static void print_section(FILE *out, const char *title, struct table *table)
{
	if (table && table_rows(table)) {
		heading(out, title);
		table_print(table, out, 2);
	}
	table_free(table);
}

static void item(FILE *out, const char *label, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void item(FILE *out, const char *label, const char *format, ...)
{
	va_list list;

	fprintf(out, "  %s%-12s%s", style_on(out, STYLE_DIM), label, style_on(out, STYLE_OFF));
	va_start(list, format);
	vfprintf(out, format, list);
	va_end(list);
	fputc('\n', out);
}

static void print_head(FILE *out, const struct run *run)
{
	int width = terminal_width(out);
	char *command = text_fit(run->command, width > 16 ? (size_t)width - 16 : 0, FIT_START);
	char *label = text_fit(run->label, width > 16 ? (size_t)width - 16 : 0, FIT_START);

	fprintf(out, "%sRun %s%s%s%s%s\n", style_on(out, STYLE_BOLD), format_plain(run->run_id),
		*label ? " '" : "", label, *label ? "'" : "", style_on(out, STYLE_OFF));
	free(label);
	item(out, "command", "%s", command);
	free(command);
	if (run->duration_ns == UNKNOWN)
		item(out, "started", "%s, %s", format_when(run->started_at), run_text_ending(run));
	else
		item(out, "started", "%s, %s after %s", format_when(run->started_at),
		     run_text_ending(run), format_duration(run->duration_ns));
}

static void print_totals(FILE *out, const struct run *run, const struct suppressed *kept)
{
	heading(out, strcmp(run->state, "running") == 0 ? "Totals so far" : "Totals");
	item(out, "allocations", "%s, %s requested, %s on average", format_count(run->allocations),
	     format_bytes(run->allocated_bytes),
	     format_bytes(run->allocations ? run->allocated_bytes / run->allocations : 0));
	item(out, "frees", "%s, %s", format_count(run->frees), format_bytes(run->freed_bytes));
	if (run->reallocations)
		item(out, "reallocs", "%s of an earlier block (counted on both sides)",
		     format_count(run->reallocations));
	if (run->temporary)
		item(out, "temporary", "%s (%s): freed before the thread allocated again",
		     format_count(run->temporary),
		     format_percent((double)run->temporary, (double)run->allocations));
	if (run->failed)
		item(out, "failed", "%s answered with NULL",
		     format_plural(run->failed, "request", "requests"));
	if (run->peak_ns != UNKNOWN)
		item(out, "peak", "%s in %s, %s into the run%s%s", format_bytes(run->peak_bytes),
		     format_plural(run->peak_blocks, "block", "blocks"),
		     format_duration(run->peak_ns), run->processes > 1 ? ", process " : "",
		     run->processes > 1 ? format_plain(run->peak_pid) : "");
	item(out, "still live", "%s in %s", format_bytes(run->live_bytes - kept->bytes),
	     format_plural(run->live_blocks - kept->blocks, "block", "blocks"));
	if (kept->stacks)
		item(out, "", "and %s in %s kept by the C and C++ libraries (--all)",
		     format_bytes(kept->bytes), format_plural(kept->blocks, "block", "blocks"));
	item(out, "pages held", "%s at most, %s above the peak", format_bytes(run->peak_held_bytes),
	     format_percent((double)(run->peak_held_bytes - run->peak_bytes),
			    (double)run->peak_bytes));
	if (run->max_rss_bytes != UNKNOWN || run->peak_rss_bytes)
		item(out, "resident", "%s at most",
		     format_bytes(run->max_rss_bytes > run->peak_rss_bytes ? run->max_rss_bytes
									   : run->peak_rss_bytes));
	if (run->user_ns != UNKNOWN && run->system_ns != UNKNOWN)
		item(out, "processor", "%s in the program, %s in the system",
		     format_duration(run->user_ns), format_duration(run->system_ns));
}

static const char *completeness(const struct run *run)
{
	if (!strcmp(run->state, "running"))
		return "the run is still going; this is what has arrived so far";
	if (!strcmp(run->state, "cut"))
		return "an interrupted recording: it stopped before the program did";
	if (run->unrecorded && !run->lost_events)
		return "incomplete: some programs are not recorded";
	if (run->lost_events || !strcmp(run->state, "incomplete"))
		return "incomplete: some events are missing";
	if (run->gaps)
		return "complete, but for the times without recording";
	return "complete: every event is here";
}

/* Reasons in stack_cuts, as a sentence goes on after their number. */
static const struct {
	const char *reason, *text;
} cut_texts[] = {
	{ "depth", "are deeper than what was recorded of a stack" },
	{ "no row", "came to code without unwind data (JIT, assembly)" },
	{ "bounds", "came to a frame outside the thread's stack" },
	{ "rule", "came to unwind data of an unknown kind" },
	{ "table", "found no room for another stack" },
};

static int print_cuts(FILE *out, struct db *db, const struct run *run, struct error *error)
{
	int64_t stacks = run->events;
	struct stack_cut_row cut;
	struct rows rows;
	int result = stack_cut_reasons_open(&rows, db, run, error);

	if (result)
		return result;
	if (!strstr(run->settings, "HEAPTAPE_FREE_STACKS=1"))
		stacks -= run->frees - run->reallocations;
	item(out, "cut stacks", "%s (%s of all) do not reach the outermost frame",
	     format_count(run->cut_stacks),
	     format_percent((double)run->cut_stacks,
			    (double)(stacks > run->cut_stacks ? stacks : run->cut_stacks)));
	while ((result = rows_next(&rows, &cut, error)) > 0) {
		const char *text = cut.reason;

		for (size_t i = 0; i < sizeof(cut_texts) / sizeof(*cut_texts); i++)
			if (!strcmp(cut_texts[i].reason, text))
				text = cut_texts[i].text;
		item(out, "", "%s %s", format_count(cut.stacks), text);
	}
	return result;
}

/* Stacks that lead through code without unwind data, but do not end there. */
static int print_by_frame_pointer(FILE *out, struct db *db, const struct run *run,
				  struct error *error)
{
	int64_t allocations = 0;
	int result = stacks_by_frame_pointer(db, run, &allocations, error);

	if (!result && allocations)
		item(out, "followed", "%s through code without unwind data, by frame pointers",
		     format_plural(allocations, "allocation", "allocations"));
	return result;
}

static int print_notes(FILE *out, struct db *db, const struct run *run, struct error *error)
{
	struct note_row note;
	struct rows rows;
	int result = notes_open(&rows, db, run, NOTES_SHOWN, error);

	while (!result && (result = rows_next(&rows, &note, error)) > 0) {
		char *text = text_fit(note.text, 0, FIT_START);

		item(out, "note", "%s", text);
		free(text);
		result = 0;
	}
	return result;
}

static int print_completeness(FILE *out, struct db *db, const struct run *run, struct error *error)
{
	int result = 0;

	heading(out, "The record");
	item(out, "state", "%s", completeness(run));
	item(out, "events", "%s, %s", format_count(run->events), run_text_lost(run));
	if (run->cut_stacks)
		result = print_cuts(out, db, run, error);
	if (!result)
		result = print_by_frame_pointer(out, db, run, error);
	if (result)
		return result;
	if (run->foreign_symbols)
		item(out, "allocator", "%s", run_text_foreign(run));
	if (run->foreign_frees)
		item(out, "foreign", "%s of blocks of another allocator",
		     format_plural(run->foreign_frees, "free", "frees"));
	if (run->inherited_frees)
		item(out, "inherited", "%s by forked processes, of copies of their parent's blocks",
		     format_plural(run->inherited_frees, "free", "frees"));
	if (run->preexisting_frees > run->inherited_frees)
		item(out, "earlier", "%s of blocks from before the recording",
		     format_plural(run->preexisting_frees - run->inherited_frees, "free", "frees"));
	if (run->late_events)
		item(out, "late", "%s came after their turn: the peak may be off by their size",
		     format_plural(run->late_events, "event", "events"));
	if (run->wait_ns)
		item(out, "waited", "%s for the daemon", format_duration(run->wait_ns));
	if (run->events)
		item(out, "stored", "%s, %.2f bytes per event", format_bytes(run->chunk_bytes),
		     (double)run->chunk_bytes / (double)run->events);
	return print_notes(out, db, run, error);
}

static void print_next(FILE *out, const struct run *run, const char *option)
{
	heading(out, "Next");
	fprintf(out, "  heaptape report --stacks%s %s\n", option, format_plain(run->run_id));
	fprintf(out, "  heaptape peak%s %s\n", option, format_plain(run->run_id));
	fprintf(out, "  heaptape flame%s %s\n", option, format_plain(run->run_id));
	fprintf(out,
		"  heaptape sql%s \"SELECT live_bytes, stack_text(stack_id, 3) FROM leaks WHERE "
		"run_id = %s\"\n",
		option, format_plain(run->run_id));
}

#define PROCESSES_SHOWN 10

static void print_more(FILE *out, int64_t count, int64_t shown, const char *table)
{
	if (count > shown)
		fprintf(out, "  ... and %s more; the table '%s' has them all\n",
			format_count(count - shown), table);
}

static int print_processes(FILE *out, struct db *db, const struct run *run, struct error *error)
{
	struct table *table;
	int result = processes_table(db, run, PROCESSES_SHOWN, &table, error);

	if (result)
		return result;
	print_section(out,
		      run->processes > PROCESSES_SHOWN ? "Processes with the most allocations"
						       : "Processes",
		      table);
	print_more(out, run->processes, PROCESSES_SHOWN, "processes");
	return 0;
}

static int print_unrecorded(FILE *out, struct db *db, const struct run *run, struct error *error)
{
	struct table *table;
	int result = unrecorded_table(db, run, PROCESSES_SHOWN, &table, error);

	if (result)
		return result;
	print_section(out, "Not recorded", table);
	print_more(out, run->unrecorded, PROCESSES_SHOWN, "processes");
	return 0;
}

#define NAMELESS_PERCENT 20

/* Stripped programs: why there are only places, and what to do about it. */
static void print_nameless(FILE *out, const struct db *db, const struct run *run,
			   const struct profile *profile, const struct site *sites, size_t count)
{
	int64_t *modules = memory_alloc((profile->module_count + 1) * sizeof(*modules));
	int64_t nameless = 0, all = 0;
	size_t most = 0;

	for (size_t i = 0; i < count; i++) {
		const struct frame *frame = &profile->frames[sites[i].frame];
		int64_t allocations = sites[i].values[METRIC_ALLOCATIONS];

		all += allocations;
		if (frame->function || !frame->module || frame->module >= profile->module_count)
			continue;
		nameless += allocations;
		modules[frame->module] += allocations;
		if (modules[frame->module] > modules[most])
			most = frame->module;
	}
	if (most && nameless * 100 >= all * NAMELESS_PERCENT && !profile->pending) {
		fprintf(out,
			"\n%s of the allocations come from call sites without a name, most of\n"
			"them in %s. With debug information for it installed:\n",
			format_percent((double)nameless, (double)all), profile->modules[most].name);
		fprintf(out, "  heaptaped --symbols %s %s --again\n", shell_word(db->path),
			format_plain(run->run_id));
	}
	free(modules);
}

#define GAPS_SHOWN 20

static int print_gaps(FILE *out, struct db *db, const struct run *run, struct error *error)
{
	struct table *table;
	int result;

	if (!run->gaps)
		return 0;
	result = gaps_table(db, run, GAPS_SHOWN, &table, error);
	if (result)
		return result;
	print_section(out, "Times without recording", table);
	print_more(out, run->gaps, GAPS_SHOWN, "gaps");
	fputs(run_text_gaps_legend, out);
	return 0;
}

static void print_sites(FILE *out, const struct db *db, const struct run *run,
			const struct profile *profile, const struct report_options *options)
{
	bool without_stacks = profile->total_count == 1 && !profile->totals[0].stack;
	struct site *sites;
	size_t count = sites_group(profile, &sites);

	if (without_stacks)
		fprintf(out,
			"\nCall stacks were not recorded, so there are no call sites to name.\n");
	for (size_t i = 0; i < site_list_count && !without_stacks; i++)
		print_section(out, site_lists[i].title,
			      site_list_table(&site_lists[i], profile, sites, count, options->top,
					      options->stacks));
	print_nameless(out, db, run, profile, sites, count);
	if (profile->pending)
		fprintf(out,
			"\nFunction names are still being looked up; ask again in a moment.\n");
	sites_free(sites, count);
}

static int print_sizes_and_threads(FILE *out, struct db *db, const struct run *run,
				   const struct report_options *options, struct error *error)
{
	struct table *table;
	int64_t threads = 0;
	int result = size_bands_table(db, run, &table, error);

	if (result)
		return result;
	print_section(out, "Sizes", table);
	result = threads_count(db, run, &threads, error);
	if (result || threads <= run->processes)
		return result;
	result = threads_table(db, run, options->top, &table, error);
	if (!result)
		print_section(out, "Threads, the busiest first", table);
	return result;
}

bool report_has_profile(const struct run *run)
{
	return run->processes && !run_text_nothing(run);
}

int report_text(FILE *out, struct db *db, const struct run *run, const struct profile *profile,
		const struct report_options *options, struct error *error)
{
	int result = 0;

	print_head(out, run);
	if (!run->processes) {
		fprintf(out, "\nNothing was recorded in this run.\n");
		return print_unrecorded(out, db, run, error);
	}
	if (run_text_nothing(run)) {
		fprintf(out, "\nRecorded: %s.\n", run_text_nothing(run));
		return 0;
	}
	print_totals(out, run, &options->kept);
	if (run->processes > 1)
		result = print_processes(out, db, run, error);
	if (!result)
		result = print_unrecorded(out, db, run, error);
	if (!result)
		result = misuses_print(out, db, run, profile, options->top, error);
	if (result)
		return result;
	print_sites(out, db, run, profile, options);
	result = print_sizes_and_threads(out, db, run, options, error);
	if (!result)
		result = print_completeness(out, db, run, error);
	if (!result)
		result = print_gaps(out, db, run, error);
	if (!result)
		print_next(out, run, options->database_option);
	return result;
}
