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
#include "proto/wire.h"
#include "viewer/command/cli.h"
#include "viewer/command/commands.h"
#include "viewer/model/db.h"
#include "viewer/record/environment.h"
#include "viewer/print/format.h"
#include "viewer/record/launch.h"
#include "viewer/record/link.h"
#include "viewer/model/misuses.h"
#include "viewer/record/program.h"
#include "viewer/print/summary.h"

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
static char *preloadable(const struct recorder *recorder, const char *shim)
{
	char *link;

	if (!strpbrk(shim, " :\t") || !recorder->folder)
		return must_copy(shim);
	link = must_print("%s/" RECORDER_SHIM, recorder->folder);
	if (symlink(shim, link))
		die("cannot make the link '%s': %s", link, strerror(errno));
	return link;
}

static void environment_finish(struct environment *environment, const struct recorder *recorder,
			       const char *shim)
{
	const char *preload = getenv("LD_PRELOAD");
	char *path, *list;

	if (!shim) /* it could not load it, and would say so */
		return;
	path = preloadable(recorder, shim);
	list = preload && *preload ? must_print("%s:%s", path, preload) : must_copy(path);
	environment_set(environment, "LD_PRELOAD", list);
	free(list);
	free(path);
	environment_set(environment, "HEAPTAPE_SOCKET", recorder->socket);
	environment_set(environment, "HEAPTAPE_RUN", format_plain((int64_t)recorder->run_token));
}

static char *absolute(const char *path)
{
	char folder[PATH_MAX];

	if (*path == '/')
		return must_copy(path);
	if (!getcwd(folder, sizeof(folder)))
		die("cannot tell the current folder: %s", strerror(errno));
	return must_print("%s/%s", folder, path);
}

static bool start_run(struct recorder *recorder, struct environment *environment, int argc,
		      char **argv)
{
	Heaptape__RunStart start = HEAPTAPE__RUN_START__INIT;
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT, *reply = NULL;
	char folder[PATH_MAX];
	int result;
	bool started = false;

	start.wire_version = WIRE_VERSION;
	start.label = (char *)(options.label ? options.label : "");
	start.command = argv;
	start.n_command = (size_t)argc;
	start.cwd = getcwd(folder, sizeof(folder)) ? folder : (char *)"";
	start.settings = environment->settings;
	start.n_settings = environment->setting_count;
	frame.body_case = HEAPTAPE__FRAME__BODY_RUN_START;
	frame.run_start = &start;
	result = link_send(recorder->link, &frame);
	if (!result)
		result = link_receive(recorder->link, 30000, &reply);
	if (result || reply->body_case != HEAPTAPE__FRAME__BODY_RUN_REPLY) {
		complain("the daemon %s", link_problem(result, reply));
	} else if (*reply->run_reply->error) {
		complain("%s", reply->run_reply->error);
	} else {
		recorder->run_id = (int64_t)reply->run_reply->run_id;
		recorder->run_token = reply->run_reply->run_token;
		if (*reply->run_reply->database)
			recorder->database = must_copy(reply->run_reply->database);
		started = true;
	}
	if (reply)
		heaptape__frame__free_unpacked(reply, NULL);
	return started;
}

/* The program itself, when it is not recorded. */
struct unrecorded {
	enum image_reason reason;
	const struct recorder *recorder;
	const char *path;
	char **argv;
	int argc;
};

static void announce(pid_t pid, void *context)
{
	const struct unrecorded *unrecorded = context;
	Heaptape__Unrecorded message = HEAPTAPE__UNRECORDED__INIT;
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;

	if (unrecorded->reason == IMAGE_RECORDABLE)
		return;
	message.run_token = unrecorded->recorder->run_token;
	message.pid = (uint32_t)pid;
	message.parent_pid = (uint32_t)getpid();
	message.reason = unrecorded->reason;
	message.executable = (char *)unrecorded->path;
	message.command = unrecorded->argv;
	message.n_command = (size_t)unrecorded->argc;
	message.started = true;
	frame.body_case = HEAPTAPE__FRAME__BODY_UNRECORDED;
	frame.unrecorded = &message;
	link_send(unrecorded->recorder->link, &frame);
}

static int64_t timeval_ns(struct timeval time)
{
	return (int64_t)time.tv_sec * 1000000000 + (int64_t)time.tv_usec * 1000;
}

/* Tells the daemon how the program ended and waits until all of it is in the database. Returns
 * the number of processes that still run, -1 when the daemon did not answer. */
static int64_t finish_run(struct recorder *recorder, pid_t pid, const struct program_end *end)
{
	Heaptape__RunEnd message = HEAPTAPE__RUN_END__INIT;
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT, *reply = NULL;
	bool told = false, terminal = isatty(STDERR_FILENO);
	int64_t still_running;
	int result;

	message.run_id = (uint64_t)recorder->run_id;
	message.pid = (uint32_t)pid;
	if (WIFSIGNALED(end->status))
		message.exit_signal = (uint32_t)WTERMSIG(end->status);
	else
		message.exit_code = WEXITSTATUS(end->status);
	message.user_ns = (uint64_t)timeval_ns(end->usage.ru_utime);
	message.system_ns = (uint64_t)timeval_ns(end->usage.ru_stime);
	message.max_rss_bytes = (uint64_t)end->usage.ru_maxrss * 1024;
	frame.body_case = HEAPTAPE__FRAME__BODY_RUN_END;
	frame.run_end = &message;
	result = link_send(recorder->link, &frame);
	while (!result) {
		result = link_receive(recorder->link, told || !terminal ? -1 : 700, &reply);
		if (result == -ETIMEDOUT) {
			fputs("heaptape: storing the rest of the recording ...", stderr);
			told = true;
			result = 0;
			continue;
		}
		if (result == -EINTR)
			result = 0;
		else
			break;
	}
	if (told)
		fputs("\r\033[K", stderr);
	if (result || reply->body_case != HEAPTAPE__FRAME__BODY_RUN_DONE) {
		complain("the daemon %s", link_problem(result, reply));
		complain("the recording may lack its end; 'heaptape report' shows what there is");
		still_running = -1;
	} else {
		still_running = reply->run_done->still_running;
	}
	if (reply)
		heaptape__frame__free_unpacked(reply, NULL);
	return still_running;
}

/* A daemon that was killed cannot store how the program ended. */
static void store_end(const struct recorder *recorder, const char *path,
		      const struct program_end *end)
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
			      (long long)recorder->run_id);
	if (sql)
		store_exec(db, sql, &error);
	sqlite3_free(sql);
	store_close(db);
}

/* False: the daemon could not store the run's end. */
static bool summarise(const struct recorder *recorder, const char *path, int64_t still_running,
		      int64_t ended_ns)
{
	sqlite3 *db = db_open_path(path);
	struct run run;
	bool whole;
	struct summary_context context = { path, still_running > 0 ? still_running : 0, 0 };

	run_load(db, recorder->run_id, &run);
	whole = still_running || strcmp(run.state, "running") != 0;
	if (!whole)
		complain("the end of the recording could not be stored; 'heaptape report' shows "
			 "what "
			 "there is");
	context.summary_after_ns = launch_clock_ns() - ended_ns;
	summary_print(stderr, db, &run, &context);
	run_release(&run);
	db_close(db);
	return whole;
}

/* What the program did wrong, once the names of functions are known. */
static void tell_misuses(int64_t run_id, const char *path)
{
	sqlite3 *db = db_open_path(path);
	struct profile profile;
	struct run run;

	run_load(db, run_id, &run);
	if (misuses_count(db, &run)) {
		profile_load(db, &run, 0, &profile);
		misuses_print(stderr, db, &run, &profile, MISUSES_TOLD);
		profile_release(&profile);
	}
	run_release(&run);
	db_close(db);
}

static int exit_status_of(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int record(const char *path, int argc, char **argv)
{
	struct recorder recorder = { .log = -1, .link = -1 };
	struct environment environment;
	struct program_end end;
	struct unrecorded unrecorded = { program_obstacle(path), &recorder, path, argv, argc };
	bool bars = image_bars_shim(unrecorded.reason);
	const char *database = cli_database();
	char *shim = launch_shim();
	char *path_of_db;
	bool whole = true;
	int64_t still_running;
	bool ready;
	pid_t pid;

	environment_begin(&environment);
	if (unrecorded.reason != IMAGE_RECORDABLE)
		complain("'%s' itself cannot be recorded: %s. It runs all the same%s.", path,
			 image_reason_text(unrecorded.reason),
			 bars				  ? ", without heaptape"
			 : strcmp(options.follow, "none") ? "; programs that it starts are recorded"
							  : "");
	if (options.socket) {
		recorder.socket = absolute(options.socket);
		ready = true;
	} else {
		ready = recorder_start(&recorder, database);
	}
	ready = ready && recorder_connect(&recorder) &&
		start_run(&recorder, &environment, argc, argv);
	if (!ready) {
		recorder_end(&recorder, false);
		environment_release(&environment);
		free(shim);
		complain("'%s' was not started", argv[0]);
		return STATUS_FAILED;
	}
	environment_finish(&environment, &recorder, bars ? NULL : shim);
	if (options.dormant && !options.quiet)
		fprintf(stderr,
			"heaptape: run %s is dormant; to switch its recording on: heaptape "
			"resume%s %s\n",
			format_plain(recorder.run_id),
			database_option(recorder.database && options.socket ? recorder.database
									    : database),
			format_plain(recorder.run_id));
	fflush(NULL);
	launch_program(path, argv, environment.all, announce, &unrecorded, &pid, &end);
	environment_release(&environment);
	free(shim);
	if (end.exec_error)
		end.status = (end.exec_error == ENOENT ? PROGRAM_NOT_FOUND : PROGRAM_NOT_EXECUTABLE)
			     << 8;
	/* From here on the program's status is what counts. */
	die_status = exit_status_of(end.status);
	still_running = finish_run(&recorder, pid, &end);
	path_of_db = must_copy(recorder.database && options.socket ? recorder.database : database);
	if (still_running < 0)
		store_end(&recorder, path_of_db, &end);
	if (end.exec_error)
		complain("cannot run '%s': %s", path, strerror(end.exec_error));
	else if (!options.quiet)
		whole = summarise(&recorder, path_of_db, still_running, end.monotonic_ns);
	recorder_end(&recorder, still_running > 0);
	if (!whole)
		store_end(&recorder, path_of_db, &end);
	if (!options.quiet && !end.exec_error)
		tell_misuses(recorder.run_id, path_of_db);
	free(path_of_db);
	return die_status;
}

static int run_main(int argc, char **argv)
{
	char *path;
	int found, status;

	if (!argc)
		return usage_error("run", "which program shall be run?");
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
		return usage_error("run", "--free-stacks and --no-stacks exclude each other");
	if (options.dormant && options.guard)
		return usage_error("run",
				   "--dormant and --guard exclude each other: a guard is set "
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
	status = record(path, argc, argv);
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
