/* heaptape report: what happened in a run. */
#include "viewer/command/commands.h"
#include "viewer/command/recording.h"
#include "viewer/model/suppress.h"
#include "viewer/print/output.h"
#include "viewer/print/report_json.h"
#include "viewer/print/report_tables.h"
#include "viewer/print/report_text.h"
#include "viewer/print/shell.h"

static struct {
	bool stacks, all;
	int64_t top;
	const char *output;
} options = { .top = 5 };

static const struct option_row rows[] = {
	OPTION_DB,
	{ "top", 'n', "N", "rows of each list (default: 5)", OPTION_NUMBER, &options.top },
	{ "stacks", 's', NULL, "show the call stack of each call site", OPTION_FLAG,
	  &options.stacks },
	{ "all", 'a', NULL, "also what the C and C++ libraries keep for themselves", OPTION_FLAG,
	  &options.all },
	{ "output", 'o', "FILE", "write FILE (default: standard output)", OPTION_TEXT,
	  &options.output },
	OPTION_ALL_FRAMES,
	OPTION_WRAPPERS,
	OPTION_JSON,
	{ "csv", 0, NULL, "print the call sites as CSV, all of them", OPTION_FLAG, &shared.csv },
	OPTIONS_END
};

static int show_data(struct recording *recording, const struct suppressed *kept,
		     struct error *error)
{
	const struct profile *profile = &recording->profile;
	struct site *sites;
	size_t count = sites_group(profile, &sites);
	int result = 0;

	sites_sort(sites, count, METRIC_ALLOCATED_BYTES);
	if (shared.csv) {
		struct table *table = sites_table(profile, sites, count);

		table_csv(table, stdout);
		table_free(table);
	} else {
		result = report_json(stdout, &recording->db, &recording->run, profile, sites, count,
				     kept, error);
	}
	sites_free(sites, count);
	return result;
}

static int report(struct recording *recording, const char *run, struct error *error)
{
	struct report_options how = {
		options.top, options.stacks, shell_database_option(shared.db), { 0 }
	};
	bool data = shared.json || shared.csv;
	int result = recording_open_run(recording, run, error);

	if (!result)
		result = output_redirect(options.output, error);
	if (!result && (data || report_has_profile(&recording->run)))
		result = recording_load_profile(recording, 0, error);
	if (result)
		return result;
	if (!options.all)
		suppress_kept_live(&recording->profile, &how.kept);
	if (data)
		return show_data(recording, &how.kept, error);
	return report_text(stdout, &recording->db, &recording->run, &recording->profile, &how,
			   error);
}

static int report_main(int argc, char **argv)
{
	struct recording recording = { 0 };
	struct error error;
	int result;

	if (argc > 1)
		return usage_error("report", "unexpected argument '%s'", argv[1]);
	if (options.top < 1)
		return usage_error("report", "--top is a number from 1 up");
	result = report(&recording, argc ? argv[0] : NULL, &error);
	recording_close(&recording);
	return result ? cli_failed(&error) : STATUS_DONE;
}

const struct command command_report = {
	.name = "report",
	.arguments = "[RUN]",
	.summary = "what happened: totals, peak, leaks, top call sites",
	.details =
		"RUN is a number, a label, 'last' (the default) or 'last~1'. A run that is still\n"
		"going is reported up to now. Call sites name the program's own code, not "
		"malloc,\n"
		"operator new or a container's allocator; --stacks shows their call stacks. "
		"What the\n"
		"C and C++ libraries keep for themselves does not count as still live, unless "
		"--all\n"
		"asks for it: in JSON, run.live_bytes has it, leaked and the sites do not.",
	.options = rows,
	.main = report_main,
};
