/* heaptape export: the run's profile for other tools. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/command/commands.h"
#include "viewer/command/recording.h"
#include "viewer/export/export.h"
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

static int export_run(struct recording *recording, const char *run, size_t format, int measure,
		      struct error *error)
{
	int64_t process_id = 0;
	FILE *out = NULL;
	int result = recording_open_run(recording, run, error);

	if (!result)
		result = run_process(&recording->db, &recording->run, options.pid, &process_id,
				     error);
	if (!result)
		result = recording_load_profile(recording, process_id, error);
	if (!result)
		result = output_open(options.output, &out, error);
	if (result)
		return result;
	recording_filter(recording);
	formats[format].write(out, &recording->run, &recording->profile, &measures[measure]);
	return output_close(out, options.output, error);
}

static int export_main(int argc, char **argv)
{
	int measure = measure_find(options.of);
	struct recording recording = { 0 };
	struct error error;
	size_t format = 0;
	int result;

	if (argc > 1)
		return usage_error("export", "unexpected argument '%s'", argv[1]);
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
	result = export_run(&recording, argc ? argv[0] : NULL, format, measure, &error);
	recording_close(&recording);
	return result ? cli_failed(&error) : STATUS_DONE;
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
