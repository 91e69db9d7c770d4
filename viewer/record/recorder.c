#include "viewer/record/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/recorder.h"
#include "proto/wire.h"
#include "viewer/memory.h"
#include "viewer/record/link.h"

/* A folder only we can enter. XDG_RUNTIME_DIR can be too long for a socket's address. */
static int make_folder(struct recorder *recorder, struct error *error)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	const char *bases[] = { runtime && *runtime == '/' ? runtime : NULL, "/tmp", "/dev/shm" };
	int number = ENOENT;

	for (size_t i = 0; i < sizeof(bases) / sizeof(*bases); i++) {
		char *folder;

		if (!bases[i] || strlen(bases[i]) > LINK_PATH_BYTES - 24)
			continue;
		recorder_sweep_folders(bases[i]);
		folder = recorder_make_folder(bases[i]);
		if (folder) {
			recorder->folder = folder;
			recorder->socket = memory_print("%s/" RECORDER_SOCKET, folder);
			return 0;
		}
		number = errno;
	}
	return error_set(error, -number,
			 "cannot make a private folder for the socket in $XDG_RUNTIME_DIR, /tmp or "
			 "/dev/shm: %s",
			 strerror(number));
}

/* Waits until the daemon says that it listens (a byte) or gives up (the pipe closes). */
static bool wait_ready(int fd)
{
	char byte;
	ssize_t got;

	do
		got = read(fd, &byte, 1);
	while (got < 0 && errno == EINTR);
	return got == 1;
}

static int spawn_daemon(const char *program, struct recorder *recorder, const char *database,
			int ready, struct error *error)
{
	char ready_text[16];
	char *arguments[] = { (char *)"heaptaped",
			      (char *)"--socket",
			      recorder->socket,
			      (char *)"--db",
			      (char *)database,
			      (char *)"--private",
			      (char *)"--folder",
			      recorder->folder,
			      (char *)"--ready-fd",
			      ready_text,
			      NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char **environment = launch_daemon_environment();
	sigset_t none, defaults;
	int number;

	snprintf(ready_text, sizeof(ready_text), "%d", ready);
	sigemptyset(&none);
	sigfillset(&defaults);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (recorder->log >= 0)
		posix_spawn_file_actions_adddup2(&actions, recorder->log, 2);
	/* The same number: only the close-on-exec mark goes. */
	posix_spawn_file_actions_adddup2(&actions, ready, ready);
	posix_spawnattr_init(&attributes);
	/* A session of its own: Ctrl-C and a closed terminal are for the program. */
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	number = posix_spawn(&recorder->daemon, program, &actions, &attributes, arguments,
			     environment);
	free(environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (!number)
		return 0;
	recorder->daemon = 0;
	return error_set(error, -number, "cannot start '%s': %s", program, strerror(number));
}

/* Copies what the daemon said since to stderr. */
static void copy_log(struct recorder *recorder)
{
	char text[4096];
	off_t at = 0;
	ssize_t got;

	if (recorder->log < 0)
		return;
	while ((got = pread(recorder->log, text, sizeof(text), at)) > 0) {
		fwrite(text, 1, (size_t)got, stderr);
		at += got;
	}
	close(recorder->log);
	recorder->log = -1;
}

static int start_daemon(const char *program, struct recorder *recorder, const char *database,
			struct error *error)
{
	int ready[2], result;
	bool listening;

	if (pipe2(ready, O_CLOEXEC))
		return error_set(error, -errno, "cannot make a pipe: %s", strerror(errno));
	result = spawn_daemon(program, recorder, database, ready[1], error);
	close(ready[1]);
	listening = !result && wait_ready(ready[0]);
	close(ready[0]);
	if (result || listening)
		return result;
	copy_log(recorder);
	return error_set(error, -ECHILD, "%s", "");
}

int recorder_start(struct recorder *recorder, const char *database, struct error *error)
{
	char *program;
	int result = launch_installed("HEAPTAPE_DAEMON", "heaptaped", &program, error);

	if (result)
		return result;
	result = make_folder(recorder, error);
	if (!result) {
		recorder->log = memfd_create("heaptaped-messages", MFD_CLOEXEC);
		result = start_daemon(program, recorder, database, error);
	}
	free(program);
	return result;
}

int recorder_connect(struct recorder *recorder, struct error *error)
{
	int result = link_connect(recorder->socket, &recorder->link);

	if (result == -ENAMETOOLONG)
		return error_set(error, result,
				 "the socket's path is too long (%d bytes at most): '%s'",
				 LINK_PATH_BYTES, recorder->socket);
	if (result)
		return error_set(error, result,
				 "cannot reach a daemon at '%s': %s. Is heaptaped running there?",
				 recorder->socket, strerror(-result));
	return 0;
}

#define NAMES_TOLD_MS 700   /* on a terminal: what it is that takes so long */
#define NAMES_WAIT_MS 30000 /* nobody waits longer than this */

static volatile sig_atomic_t interrupted;

static void interrupt_cb(int number)
{
	(void)number;
	interrupted = 1;
}

/* True when the daemon has ended. */
static bool wait_daemon(pid_t daemon)
{
	struct sigaction interrupt = { .sa_handler = interrupt_cb }, before;
	bool told = false, ended = false;

	sigaction(SIGINT, NULL, &before);
	if (before.sa_handler != SIG_IGN)
		sigaction(SIGINT, &interrupt, NULL);
	for (int waited_ms = 0, step_ms = 1; waited_ms < NAMES_WAIT_MS && !interrupted;
	     waited_ms += step_ms) {
		pid_t got = waitpid(daemon, NULL, WNOHANG);

		ended = got == daemon || (got < 0 && errno == ECHILD);
		if (ended)
			break;
		if (waited_ms >= NAMES_TOLD_MS && !told && isatty(STDERR_FILENO)) {
			fputs("heaptape: looking up the names of functions ... (Ctrl-C leaves it "
			      "to the background)",
			      stderr);
			told = true;
		}
		poll(NULL, 0, step_ms);
		step_ms = waited_ms > 100 ? 20 : step_ms < 5 ? step_ms + 1 : 5;
	}
	if (told)
		fputs("\r\033[K", stderr);
	sigaction(SIGINT, &before, NULL);
	return ended;
}

void recorder_end(struct recorder *recorder, bool leave_running)
{
	if (recorder->link >= 0)
		close(recorder->link);
	recorder->link = -1;
	if (recorder->daemon && !leave_running)
		leave_running = !wait_daemon(recorder->daemon);
	copy_log(recorder);
	/* A daemon that goes on needs its socket; it removes the folder itself. A killed one did not. */
	if (recorder->folder && !leave_running)
		recorder_remove_folder(recorder->folder);
	free(recorder->folder);
	free(recorder->socket);
	free(recorder->database);
	recorder->folder = recorder->socket = recorder->database = NULL;
}

int recorder_begin_run(struct recorder *recorder, const struct environment *environment,
		       const char *label, int argc, char **argv, struct error *error)
{
	Heaptape__RunStart start = HEAPTAPE__RUN_START__INIT;
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT, *reply = NULL;
	char folder[PATH_MAX];
	int result;

	start.wire_version = WIRE_VERSION;
	start.label = (char *)label;
	start.command = argv;
	start.n_command = (size_t)argc;
	start.cwd = getcwd(folder, sizeof(folder)) ? folder : (char *)"";
	start.settings = (char **)environment->settings;
	start.n_settings = environment->setting_count;
	frame.body_case = HEAPTAPE__FRAME__BODY_RUN_START;
	frame.run_start = &start;
	result = link_send(recorder->link, &frame);
	if (!result)
		result = link_receive(recorder->link, 30000, &reply);
	if (result || reply->body_case != HEAPTAPE__FRAME__BODY_RUN_REPLY) {
		result = error_set(error, result ? result : -EPROTO, "the daemon %s",
				   link_problem(result, reply));
	} else if (*reply->run_reply->error) {
		result = error_set(error, -ECANCELED, "%s", reply->run_reply->error);
	} else {
		recorder->run_id = (int64_t)reply->run_reply->run_id;
		recorder->run_token = reply->run_reply->run_token;
		if (*reply->run_reply->database)
			recorder->database = memory_copy(reply->run_reply->database);
	}
	if (reply)
		heaptape__frame__free_unpacked(reply, NULL);
	return result;
}

void recorder_announce(const struct recorder *recorder, const struct unrecorded *unrecorded,
		       pid_t pid)
{
	Heaptape__Unrecorded message = HEAPTAPE__UNRECORDED__INIT;
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;

	message.run_token = recorder->run_token;
	message.pid = (uint32_t)pid;
	message.parent_pid = (uint32_t)getpid();
	message.reason = unrecorded->reason;
	message.executable = (char *)unrecorded->path;
	message.command = unrecorded->argv;
	message.n_command = (size_t)unrecorded->argc;
	message.started = true;
	frame.body_case = HEAPTAPE__FRAME__BODY_UNRECORDED;
	frame.unrecorded = &message;
	link_send(recorder->link, &frame);
}

static int64_t timeval_ns(struct timeval time)
{
	return (int64_t)time.tv_sec * 1000000000 + (int64_t)time.tv_usec * 1000;
}

int recorder_finish_run(struct recorder *recorder, pid_t pid, const struct program_end *end,
			int64_t *ret_still_running, struct error *error)
{
	Heaptape__RunEnd message = HEAPTAPE__RUN_END__INIT;
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT, *reply = NULL;
	bool told = false, terminal = isatty(STDERR_FILENO);
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
	if (result || reply->body_case != HEAPTAPE__FRAME__BODY_RUN_DONE)
		result = error_set(error, result ? result : -EPROTO, "the daemon %s",
				   link_problem(result, reply));
	else
		*ret_still_running = reply->run_done->still_running;
	if (reply)
		heaptape__frame__free_unpacked(reply, NULL);
	return result;
}
