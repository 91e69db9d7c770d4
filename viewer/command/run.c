/* heaptape run: record a program. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/recorder.h"
#include "proto/store.h"
#include "viewer/command/commands.h"
#include "viewer/command/recording.h"
#include "viewer/memory.h"
#include "viewer/model/misuses.h"
#include "viewer/print/format.h"
#include "viewer/print/misuses.h"
#include "viewer/print/shell.h"
#include "viewer/print/summary.h"
#include "viewer/record/launch.h"
#include "viewer/record/program.h"
#include "viewer/record/recorder.h"

#define DEPTH_MAX 4096
#define DEPTH_DEFAULT (-1)
#define MISUSES_TOLD 3 /* the report has more */

static struct {
	const char *label;
	const char *socket;
	const char *on_full;
	const char *on_error;
	bool no_stacks;
	bool dormant;
	bool free_stacks;
	bool guard;
	int64_t depth;
	const char *follow;
	bool quiet;
} options = { .on_full = "wait", .depth = DEPTH_DEFAULT, .follow = "exec" };

static const struct option_row rows[] = {
	{ "output", 'o', "FILE", "record into FILE (default: $HEAPTAPE_DB or heaptape.db)",
	  OPTION_TEXT, &shared.db },
	{ "db", 'd', "FILE", "the same as --output", OPTION_TEXT, &shared.db },
	{ "label", 'l', "TEXT", "a name for the run, to find it again", OPTION_TEXT,
	  &options.label },
	{ "socket", 0, "PATH", "use the daemon that listens there", OPTION_TEXT, &options.socket },
	{ "on-full", 0, "wait|drop", "when the daemon falls behind (default: wait)", OPTION_TEXT,
	  &options.on_full },
	{ "on-error", 0, "abort|continue", "when the program misuses its heap (default: abort)",
	  OPTION_TEXT, &options.on_error },
	{ "no-stacks", 0, NULL, "do not record call stacks", OPTION_FLAG, &options.no_stacks },
	{ "free-stacks", 0, NULL, "record also where each block is freed", OPTION_FLAG,
	  &options.free_stacks },
	{ "guard", 0, NULL, "find writes beyond blocks and to freed ones (slower)", OPTION_FLAG,
	  &options.guard },
	{ "depth", 0, "N", "record at most N frames of a stack (default: 4096)", OPTION_NUMBER,
	  &options.depth },
	{ "follow", 0, "all|exec|none", "which further programs to record (default: exec)",
	  OPTION_TEXT, &options.follow },
	{ "dormant", 0, NULL, "start with recording off; 'heaptape resume' switches it on",
	  OPTION_FLAG, &options.dormant },
	{ "quiet", 'q', NULL, "print no summary", OPTION_FLAG, &options.quiet },
	OPTIONS_END
};

static int64_t realtime_ns(void)
{
	struct timespec now = clock_read(CLOCK_REALTIME);

	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void environment_begin(struct environment *environment)
{
	const char *on_error = options.on_error ? options.on_error : getenv("HEAPTAPE_ON_ERROR");

	environment_init(environment);
	environment_setting(environment, "HEAPTAPE_ON_FULL", options.on_full);
	environment_setting(environment, "HEAPTAPE_STACKS", options.no_stacks ? "0" : "1");
	if (options.guard)
		environment_setting(environment, "HEAPTAPE_GUARD", "1");
	if (options.free_stacks)
		environment_setting(environment, "HEAPTAPE_FREE_STACKS", "1");
	if (options.depth > 0)
		environment_setting(environment, "HEAPTAPE_DEPTH", format_plain(options.depth));
	environment_unset(environment, "HEAPTAPE_DORMANT");
	if (options.dormant)
		environment_setting(environment, "HEAPTAPE_DORMANT", "1");
	if (on_error)
		environment_setting(environment, "HEAPTAPE_ON_ERROR", on_error);
	if (strcmp(options.follow, "exec") != 0)
		environment_setting(environment, "HEAPTAPE_FOLLOW", options.follow);
	if (!strcmp(options.follow, "none"))
		environment_set(environment, "HEAPTAPE_COMMAND", format_plain(getpid()));
}

/* LD_PRELOAD knows no quoting: a path with a space or a colon is reached through a link.
 * A heap copy. */
static int preloadable(const struct recorder *recorder, const char *shim, char **ret_path,
		       struct error *error)
{
	char *link;
	int result = 0;

	if (!strpbrk(shim, " :\t") || !recorder->folder) {
		*ret_path = memory_copy(shim);
		return 0;
	}
	link = memory_print("%s/" RECORDER_SHIM, recorder->folder);
	if (symlink(shim, link)) {
		result = error_set(error, -errno, "cannot make the link '%s': %s", link,
				   strerror(errno));
		free(link);
	} else {
		*ret_path = link;
	}
	return result;
}

static int environment_finish(struct environment *environment, const struct recorder *recorder,
			      const char *shim, struct error *error)
{
	const char *preload = getenv("LD_PRELOAD");
	char *path = NULL, *list;
	int result = preloadable(recorder, shim, &path, error);

	if (result)
		return result;
	list = preload && *preload ? memory_print("%s:%s", path, preload) : memory_copy(path);
	environment_set(environment, "LD_PRELOAD", list);
	free(list);
	free(path);
	environment_set(environment, "HEAPTAPE_SOCKET", recorder->socket);
	environment_set(environment, "HEAPTAPE_RUN", format_plain((int64_t)recorder->run_token));
	return 0;
}

static int absolute(const char *path, char **ret_path, struct error *error)
{
	char folder[PATH_MAX];

	if (*path == '/') {
		*ret_path = memory_copy(path);
		return 0;
	}
	if (!getcwd(folder, sizeof(folder)))
		return error_set(error, -errno, "cannot find the current folder: %s",
				 strerror(errno));
	*ret_path = memory_print("%s/%s", folder, path);
	return 0;
}

/* A daemon that was killed cannot store how the program ended. */
static void store_end(int64_t run_id, const char *path, const struct program_end *end)
{
	struct store_error error;
	sqlite3 *db;
	char *sql;

	if (store_open(path, STORE_WRITE, &db, &error) != 0)
		return;
	if (recorder_end_left(db) > 0)
		launch_symbols(path);
	sql = sqlite3_mprintf("UPDATE runs SET ended_at = %lld, %s = %d WHERE run_id = %lld AND "
			      "state = 'cut'",
			      (long long)realtime_ns() - (launch_clock_ns() - end->monotonic_ns),
			      WIFSIGNALED(end->status) ? "exit_signal" : "exit_code",
			      WIFSIGNALED(end->status) ? WTERMSIG(end->status)
						       : WEXITSTATUS(end->status),
			      (long long)run_id);
	if (sql)
		store_exec(db, sql, &error);
	sqlite3_free(sql);
	store_close(db);
}

/* False in *ret_whole: the daemon could not store the run's end. */
static int summarise(int64_t run_id, const char *path, int64_t still_running, int64_t ended_ns,
		     bool *ret_whole, struct error *error)
{
	struct summary_context context = { path, still_running > 0 ? still_running : 0, 0 };
	struct recording recording = { 0 };
	int result = recording_open_db(path, &recording.db, error);

	if (!result)
		result = run_load(&recording.db, run_id, &recording.run, error);
	if (!result) {
		*ret_whole = still_running || strcmp(recording.run.state, "running") != 0;
		if (!*ret_whole)
			complain("the end of the recording could not be stored; 'heaptape report' "
				 "shows what there is");
		context.summary_after_ns = launch_clock_ns() - ended_ns;
		result = summary_print(stderr, &recording.db, &recording.run, &context, error);
	}
	recording_close(&recording);
	return result;
}

/* What the program did wrong, once the names of functions are known. */
static int tell_misuses(int64_t run_id, const char *path, struct error *error)
{
	struct recording recording = { 0 };
	int64_t count = 0;
	int result = recording_open_db(path, &recording.db, error);

	if (!result)
		result = run_load(&recording.db, run_id, &recording.run, error);
	if (!result)
		result = misuses_count(&recording.db, &recording.run, &count, error);
	if (!result && count)
		result = recording_load_profile(&recording, 0, error);
	if (!result && count)
		result = misuses_print(stderr, &recording.db, &recording.run, &recording.profile,
				       MISUSES_TOLD, error);
	recording_close(&recording);
	return result;
}

static int exit_status_of(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* What is to be recorded, and by whom. */
struct recorded {
	struct recorder recorder;
	struct environment environment;
	struct unrecorded unrecorded; /* the program itself, if it cannot be recorded */
	const char *database;
	char *shim;
};

static void begun_cb(pid_t pid, void *context)
{
	const struct recorded *recorded = context;

	if (recorded->unrecorded.reason != IMAGE_RECORDABLE)
		recorder_announce(&recorded->recorder, &recorded->unrecorded, pid);
}

/* The daemon is there, and has begun the run; the environment is complete. */
static int prepare(struct recorded *recorded, int argc, char **argv, struct error *error)
{
	struct recorder *recorder = &recorded->recorder;
	int result = options.socket ? absolute(options.socket, &recorder->socket, error)
				    : recorder_start(recorder, recorded->database, error);

	if (!result)
		result = recorder_connect(recorder, error);
	if (!result)
		result = recorder_begin_run(recorder, &recorded->environment,
					    options.label ? options.label : "", argc, argv, error);
	/* A program that could not load the shim would say so. */
	if (!result && !image_bars_shim(recorded->unrecorded.reason))
		result =
			environment_finish(&recorded->environment, recorder, recorded->shim, error);
	if (!result && recorder->database && options.socket)
		recorded->database = recorder->database;
	return result;
}

static int not_started(struct recorded *recorded, const char *name, const struct error *error)
{
	int status = cli_failed(error);

	recorder_end(&recorded->recorder, false);
	complain("'%s' was not started", name);
	return status;
}

/* The program has ended, or could not be executed. Returns the exit status. */
static int finish(struct recorded *recorded, pid_t pid, const struct program_end *end)
{
	struct recorder *recorder = &recorded->recorder;
	int64_t run_id = recorder->run_id, still_running = -1;
	char *database = memory_copy(recorded->database);
	struct error error;
	bool whole = true;

	/* From here on the program's status is what counts. */
	cli_failure_status = memory_exit_status = exit_status_of(end->status);
	if (recorder_finish_run(recorder, pid, end, &still_running, &error)) {
		complain("%s", error.text);
		complain("the recording may lack its end; 'heaptape report' shows what there is");
		store_end(run_id, database, end);
	}
	if (end->exec_error)
		complain("cannot run '%s': %s", recorded->unrecorded.path,
			 strerror(end->exec_error));
	else if (!options.quiet &&
		 summarise(run_id, database, still_running, end->monotonic_ns, &whole, &error))
		cli_failed(&error);
	recorder_end(recorder, still_running > 0);
	if (!whole)
		store_end(run_id, database, end);
	if (!options.quiet && !end->exec_error && tell_misuses(run_id, database, &error))
		cli_failed(&error);
	free(database);
	return cli_failure_status;
}

static void announce_dormant(const struct recorded *recorded)
{
	const char *run_id = format_plain(recorded->recorder.run_id);

	complain("run %s is dormant; to switch its recording on: heaptape resume%s %s", run_id,
		 shell_database_option(recorded->database), run_id);
}

static void announce_unrecorded(const struct unrecorded *unrecorded)
{
	complain("'%s' itself cannot be recorded: %s. It runs all the same%s.", unrecorded->path,
		 image_reason_text(unrecorded->reason),
		 image_bars_shim(unrecorded->reason) ? ", without heaptape"
		 : strcmp(options.follow, "none")    ? "; programs that it starts are recorded"
						     : "");
}

static int record(struct recorded *recorded, const char *path, int argc, char **argv)
{
	struct program_end end;
	struct error error;
	pid_t pid;

	if (launch_shim(&recorded->shim, &error))
		return cli_failed(&error);
	if (recorded->unrecorded.reason != IMAGE_RECORDABLE)
		announce_unrecorded(&recorded->unrecorded);
	if (prepare(recorded, argc, argv, &error))
		return not_started(recorded, argv[0], &error);
	if (options.dormant && !options.quiet)
		announce_dormant(recorded);
	fflush(NULL);
	if (launch_program(path, argv, recorded->environment.all, begun_cb, recorded, &pid, &end,
			   &error))
		return not_started(recorded, argv[0], &error);
	if (end.exec_error)
		end.status = (end.exec_error == ENOENT ? PROGRAM_NOT_FOUND : PROGRAM_NOT_EXECUTABLE)
			     << 8;
	return finish(recorded, pid, &end);
}

static int run_main(int argc, char **argv)
{
	struct recorded recorded = { .recorder = { .log = -1, .link = -1 } };
	char *path;
	int found, status;

	if (!argc)
		return usage_error("run", "no program given");
	if (strcmp(options.on_full, "wait") != 0 && strcmp(options.on_full, "drop") != 0)
		return usage_error("run", "--on-full is 'wait' or 'drop', not '%s'",
				   options.on_full);
	if (options.on_error && strcmp(options.on_error, "abort") != 0 &&
	    strcmp(options.on_error, "continue") != 0)
		return usage_error("run", "--on-error is 'abort' or 'continue', not '%s'",
				   options.on_error);
	if (strcmp(options.follow, "all") != 0 && strcmp(options.follow, "exec") != 0 &&
	    strcmp(options.follow, "none") != 0)
		return usage_error("run", "--follow is 'all', 'exec' or 'none', not '%s'",
				   options.follow);
	if (options.free_stacks && options.no_stacks)
		return usage_error("run", "--free-stacks and --no-stacks cannot be used together");
	if (options.dormant && options.guard)
		return usage_error("run",
				   "--dormant and --guard cannot be used together: a guard is set "
				   "as its block is allocated");
	if (options.depth != DEPTH_DEFAULT && (options.depth < 1 || options.depth > DEPTH_MAX))
		return usage_error("run", "--depth is a number from 1 to %d", DEPTH_MAX);
	if (options.socket && shared.db)
		return usage_error("run", "--socket's daemon has its database already; --db cannot "
					  "choose another");
	found = program_find(argv[0], &path);
	if (found) {
		complain("cannot run '%s': %s", argv[0],
			 found == -ENOENT && !strchr(argv[0], '/') ? "command not found"
								   : strerror(-found));
		return found == -ENOENT ? PROGRAM_NOT_FOUND : PROGRAM_NOT_EXECUTABLE;
	}
	recorded.unrecorded = (struct unrecorded){ program_obstacle(path), path, argv, argc };
	recorded.database = cli_database();
	environment_begin(&recorded.environment);
	status = record(&recorded, path, argc, argv);
	environment_release(&recorded.environment);
	free(recorded.shim);
	free(path);
	return status;
}

const struct command command_run = {
	.name = "run",
	.arguments = "[--] PROGRAM [ARGUMENTS...]",
	.summary = "record a program",
	.details =
		"The program runs as it would alone: its input, output and exit status are "
		"untouched\n"
		"(128+N when signal N ended it; 127 when it is not found, 126 when it cannot be\n"
		"executed). Every allocation of it and of the programs it starts is recorded, and "
		"a\n"
		"summary follows on standard error. When recording is impossible the program is "
		"not\n"
		"started and the status is 3.\n"
		"\n"
		"--follow says which further programs are recorded: with 'exec' those that get "
		"the\n"
		"variables LD_PRELOAD and HEAPTAPE_* passed on (a forked child always is); with "
		"'all'\n"
		"also those that are started with a cleaned environment, as by 'env -i'; with "
		"'none'\n"
		"only the first process, whatever it becomes by exec.",
	.options = rows,
	.main = run_main,
	.program_follows = true,
};
