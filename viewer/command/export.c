/* heaptape export: the run's profile for other tools. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/command/commands.h"
#include "viewer/model/db.h"
#include "viewer/export/export.h"

#include "viewer/model/filter.h"
#include "viewer/print/output.h"

static struct {
	const char *format;
	const char *of;
	const char *output;
	int64_t pid;
} options = { .of = "allocated" };

static const struct option_row rows[] = {
	OPTION_DB,
	OPTION_MATCH,
	OPTION_MODULE,
	{ "format", 'f', "FORMAT", "folded, pprof or speedscope", OPTION_TEXT, &options.format },
	{ "of", 0, "WHAT", MEASURE_NAMES " (default: allocated)", OPTION_TEXT, &options.of },
	{ "output", 'o', "FILE", "write FILE (default: standard output)", OPTION_TEXT,
	  &options.output },
	{ "pid", 0, "PID", "of this process only", OPTION_NUMBER, &options.pid },
	OPTIONS_END
};

static const struct {
	const char *name;
	bool binary;
	void (*write)(FILE *out, const struct run *run, const struct profile *profile,
		      const struct measure *measure);
} formats[] = {
	{ "folded", false, export_folded },
	{ "pprof", true, export_pprof },
	{ "speedscope", false, export_speedscope },
};
#define FORMATS (sizeof(formats) / sizeof(*formats))

static int export_main(int argc, char **argv)
{
	int measure = measure_find(options.of);
	struct profile profile;
	struct run run;
	size_t format = 0;
	FILE *out;
	sqlite3 *db;

	if (argc > 1)
		return usage_error("export", "'%s' is one argument too many", argv[1]);
	if (!options.format)
		return usage_error("export", "--format is needed: folded, pprof or speedscope");
	while (format < FORMATS && strcmp(formats[format].name, options.format) != 0)
		format++;
	if (format == FORMATS)
		return usage_error("export", "--format is folded, pprof or speedscope, not '%s'",
				   options.format);
	if (measure < 0)
		return usage_error("export", "--of is " MEASURE_NAMES ", not '%s'", options.of);
	if (formats[format].binary && !options.output && isatty(STDOUT_FILENO))
		return usage_error("export",
				   "pprof's format is not for a terminal: name a file with -o");
	db = db_open();
	db_snapshot(db);
	run_load(db, run_select(db, argc ? argv[0] : NULL), &run);
	profile_load(db, &run, run_process(db, &run, options.pid), &profile);
	filter_apply(&profile);
	out = output_open(options.output);
	formats[format].write(out, &run, &profile, &measures[measure]);
	output_close(out, options.output);
	profile_release(&profile);
	run_release(&run);
	db_close(db);
	return STATUS_DONE;
}

const struct command command_export = {
	.name = "export",
	.arguments = "[RUN]",
	.summary = "the call stacks for other tools: folded, pprof, speedscope",
	.details =
		"folded      one stack a line, for flamegraph.pl and its like\n"
		"pprof       go tool pprof FILE; all measures at once, --of names the first shown\n"
		"speedscope  https://www.speedscope.app; all measures at once",
	.options = rows,
	.main = export_main,
};
