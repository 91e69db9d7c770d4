#include "viewer/record/launch.h"

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
#include <time.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/recorder.h"
#include "viewer/command/cli.h"
#include "viewer/record/link.h"
#include "viewer/record/program.h"
#include "viewer/record/signals.h"

extern char **environ;

/* A file beside our executable, or in ../lib/heaptape from there. Without it: dies, or NULL when it is
 * not needed. */
static char *installed_file(const char *variable, const char *name, bool needed)
{
	const char *given = getenv(variable);
	char folder[PATH_MAX], resolved[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
	char *slash;

	if (given && *given) {
		if (!realpath(given, resolved) && !needed)
			return NULL;
		if (!realpath(given, resolved))
			die("cannot use %s='%s': %s", variable, given, strerror(errno));
		return must_copy(resolved);
	}
	if (length < 0 && !needed)
		return NULL;
	if (length < 0)
		die("cannot find where heaptape is installed: %s (/proc is needed)",
		    strerror(errno));
	folder[length] = 0;
	slash = strrchr(folder, '/');
	if (slash)
		*slash = 0;
	for (size_t i = 0; i < 2; i++) {
		char *path = i ? must_print("%s/../lib/heaptape/%s", folder, name)
			       : must_print("%s/%s", folder, name);
		char *real = realpath(path, resolved);

		free(path);
		if (real)
			return must_copy(resolved);
	}
	if (!needed)
		return NULL;
	die("cannot find %s beside heaptape (%s) or in ../lib/heaptape. Is the installation whole? "
	    "%s can name it.",
	    name, folder, variable);
}

char *launch_shim(void)
{
	return installed_file("HEAPTAPE_SHIM", "libheaptape.so", true);
}

/* A folder only we can enter. XDG_RUNTIME_DIR can be too long for a socket's address. */
static bool make_folder(struct recorder *recorder)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	const char *bases[] = { runtime && *runtime == '/' ? runtime : NULL, "/tmp", "/dev/shm" };
	int error = ENOENT;

	for (size_t i = 0; i < sizeof(bases) / sizeof(*bases); i++) {
		char *folder;

		if (!bases[i] || strlen(bases[i]) > LINK_PATH_BYTES - 24)
			continue;
		recorder_sweep_folders(bases[i]);
		folder = recorder_make_folder(bases[i]);
		if (folder) {
			recorder->folder = folder;
			recorder->socket = must_print("%s/" RECORDER_SOCKET, folder);
			return true;
		}
		error = errno;
	}
	complain("cannot make a private folder for the socket in $XDG_RUNTIME_DIR, /tmp or "
		 "/dev/shm: %s",
		 strerror(error));
	return false;
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

/* When the command is recorded itself, its daemon shall not be: a heap copy of the environment
 * without the other recording's variables. The strings are not copied. */
static char **daemon_environment(void)
{
	const char *preload = getenv("LD_PRELOAD");
	bool recorded = preload && strstr(preload, "libheaptape");
	size_t count = 0, kept = 0;
	char **copy;

	while (environ[count])
		count++;
	copy = must_alloc((count + 2) * sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		if (!recorded || (strncmp(environ[i], "LD_PRELOAD=", 11) != 0 &&
				  strncmp(environ[i], "HEAPTAPE_SOCKET=", 16) != 0))
			copy[kept++] = environ[i];
	if (recorded) /* or --follow=all would put it back */
		copy[kept++] = (char *)"HEAPTAPE_SOCKET=";
	return copy;
}

void launch_symbols(const char *database)
{
	char *program = installed_file("HEAPTAPE_DAEMON", "heaptaped", false);
	char *arguments[] = { (char *)"heaptaped", (char *)"--symbols", (char *)database,
			      (char *)"0", NULL };
	char **environment = daemon_environment();
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	pid_t pid;

	if (!program) {
		free(environment);
		return;
	}
	posix_spawn_file_actions_init(&actions);
	for (int fd = 0; fd <= 2; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
	posix_spawn(&pid, program, &actions, &attributes, arguments, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free(environment);
	free(program);
}

static pid_t spawn_daemon(const char *program, struct recorder *recorder, const char *database,
			  int ready)
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
	char **environment = daemon_environment();
	sigset_t none, defaults;
	pid_t pid = 0;
	int error;

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
	error = posix_spawn(&pid, program, &actions, &attributes, arguments, environment);
	free(environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (error) {
		complain("cannot start '%s': %s", program, strerror(error));
		return 0;
	}
	return pid;
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

bool recorder_start(struct recorder *recorder, const char *database)
{
	char *program = installed_file("HEAPTAPE_DAEMON", "heaptaped", true);
	int ready[2];
	bool listening;

	if (!make_folder(recorder)) {
		free(program);
		return false;
	}
	recorder->log = memfd_create("heaptaped-messages", MFD_CLOEXEC);
	if (pipe2(ready, O_CLOEXEC)) {
		complain("cannot make a pipe: %s", strerror(errno));
		free(program);
		return false;
	}
	recorder->daemon = spawn_daemon(program, recorder, database, ready[1]);
	free(program);
	close(ready[1]);
	listening = recorder->daemon && wait_ready(ready[0]);
	close(ready[0]);
	if (recorder->daemon && !listening)
		copy_log(recorder);
	return listening;
}

bool recorder_connect(struct recorder *recorder)
{
	int result = link_connect(recorder->socket, &recorder->link);

	if (result == -ENAMETOOLONG)
		complain("the socket's path is too long (%d bytes at most): '%s'", LINK_PATH_BYTES,
			 recorder->socket);
	else if (result)
		complain("cannot reach a daemon at '%s': %s. Is heaptaped running there?",
			 recorder->socket, strerror(-result));
	return !result;
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

int64_t launch_clock_ns(void)
{
	struct timespec now = clock_read(CLOCK_MONOTONIC);

	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void launch_program(const char *path, char **argv, char **environment,
		    void (*begun)(pid_t pid, void *context), void *context, pid_t *ret_pid,
		    struct program_end *ret_end)
{
	struct signals signals;
	int failure[2], error = 0;
	pid_t pid;

	*ret_end = (struct program_end){ 0 };
	if (pipe2(failure, O_CLOEXEC))
		die("cannot make a pipe: %s", strerror(errno));
	signals_begin(&signals);
	pid = fork();
	if (pid < 0)
		die("cannot start a process: %s", strerror(errno));
	if (!pid) {
		signals_give_back(&signals);
		error = -program_exec(path, argv, environment);
		if (write(failure[1], &error, sizeof(error)) < 0)
			_exit(PROGRAM_NOT_EXECUTABLE);
		_exit(PROGRAM_NOT_EXECUTABLE);
	}
	signals_pass_to(pid);
	close(failure[1]);
	if (read(failure[0], &error, sizeof(error)) == (ssize_t)sizeof(error))
		ret_end->exec_error = error;
	else
		begun(pid, context);
	close(failure[0]);
	signals_wait(pid, &ret_end->status, &ret_end->usage);
	ret_end->monotonic_ns = launch_clock_ns();
	*ret_pid = pid;
	signals_end(&signals);
}
