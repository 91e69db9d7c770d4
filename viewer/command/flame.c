/* heaptape flame: the run as a flame graph, one page that needs nothing else. */
#include <errno.h>
#include <stdlib.h>

#include "viewer/command/commands.h"
#include "viewer/command/recording.h"
#include "viewer/memory.h"
#include "viewer/model/metric.h"
#include "viewer/model/tree.h"
#include "viewer/print/format.h"
#include "viewer/print/output.h"
#include "viewer/web/asset.h"
#include "viewer/web/page.h"

static struct {
	const char *of;
	const char *output;
	int64_t pid;
} options = { .of = "allocated" };

static const struct option_row rows[] = {
	OPTION_DB,
	OPTION_MATCH,
	OPTION_MODULE,
	{ "of", 0, "WHAT", MEASURE_NAMES " (default: allocated)", OPTION_TEXT, &options.of },
	{ "output", 'o', "FILE", "write FILE (default: heaptape-RUN.html; -: standard output)",
	  OPTION_TEXT, &options.output },
	{ "pid", 0, "PID", "of this process only", OPTION_NUMBER, &options.pid },
	OPTIONS_END
};

static int write_flame(const struct recording *recording, const char *path, int first,
		       struct error *error)
{
	struct tree_options how = { .whole = true, .all = true, .sort = measures[first].metric };
	struct tree tree;
	FILE *out = NULL;
	int result = output_open(path, &out, error);

	if (result)
		return result;
	tree_build(&recording->profile, &how, &tree);
	page_write(out, &recording->run, &recording->profile, &tree, first);
	tree_release(&tree);
	result = output_close(out, path, error);
	if (!result && out != stdout)
		complain("wrote '%s' (%s of run %s); open it in a browser", path,
			 measures[first].title, format_plain(recording->run.run_id));
	return result;
}

static int flame(struct recording *recording, const char *run, int first, struct error *error)
{
	int64_t process_id = 0;
	char *path;
	int result = recording_open_run(recording, run, error);

	if (!result)
		result = run_process(&recording->db, &recording->run, options.pid, &process_id,
				     error);
	if (!result)
		result = recording_load_profile(recording, process_id, error);
	if (result)
		return result;
	recording_filter(recording);
	if (!recording->profile.total_count)
		return error_set(error, -ENODATA, "run %s has no allocations to draw",
				 format_plain(recording->run.run_id));
	path = options.output
		       ? memory_copy(options.output)
		       : memory_print("heaptape-%s.html", format_plain(recording->run.run_id));
	result = write_flame(recording, path, first, error);
	free(path);
	return result;
}

static int flame_main(int argc, char **argv)
{
	int first = measure_find(options.of), result;
	struct recording recording = { 0 };
	struct error error;

	if (argc > 1)
		return usage_error("flame", "unexpected argument '%s'", argv[1]);
	if (first < 0)
		return usage_error("flame", "--of is " MEASURE_NAMES ", not '%s'", options.of);
	if (!asset_flame_js_bytes()) {
		complain("this heaptape was built without the page's script: npm was missing. "
			 "'heaptape export --format speedscope' gives the same for "
			 "https://speedscope.app");
		return STATUS_FAILED;
	}
	result = flame(&recording, argc ? argv[0] : NULL, first, &error);
	recording_close(&recording);
	return result ? cli_failed(&error) : STATUS_DONE;
}

const struct command command_flame = {
	.name = "flame",
	.arguments = "[RUN]",
	.summary = "a flame graph: one HTML page that opens from disk",
	.details = "Boxes are functions, widths are what they allocated together with what they "
		   "called.\n"
		   "Click to zoom, / to search; the page can switch between what is allocated, "
		   "live at\n"
		   "the peak, leaked and temporary. It needs no network and no other file.",
	.options = rows,
	.main = flame_main,
};
