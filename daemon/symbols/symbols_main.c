/* Symbol resolution as a program of its own, and how the daemon starts it. */
#include "daemon/symbols/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the daemon adds, with the files it keeps. */
#define ALONE "--alone"
#define TELL "--tell"
#define TELL_LOW "--low"

extern char **environ;

static void print_progress(void *context, uint64_t done, uint64_t total)
{
	(void)context;
	fprintf(stderr, "\rheaptaped: looked up %llu of %llu places in the code",
		(unsigned long long)done, (unsigned long long)total);
}

static void print_result(const struct symbols_result *result)
{
	if (!result->pending) {
		printf("nothing to look up: every place in the code has been looked up before\n");
		return;
	}
	printf("looked up %llu %s in the code of %llu %s: %llu with function and line, %llu "
	       "with the function, %llu unknown\n",
	       (unsigned long long)result->pending, result->pending == 1 ? "place" : "places",
	       (unsigned long long)result->modules, result->modules == 1 ? "file" : "files",
	       (unsigned long long)result->resolved, (unsigned long long)result->symbol,
	       (unsigned long long)result->unknown);
}

/* The program that is recorded goes first: at a processor, at a disk, and where memory is short. */
static void go_last(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!write(fd, "1000", 4);
		close(fd);
	}
	setpriority(PRIO_PROCESS, 0, 19);
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT);
}

/* For the daemon: the answers on stdout. */
static int tell(const char *db_path, int64_t run_id, unsigned flags)
{
	struct symbols_result result;
	struct symbols_pipe pipe;
	struct store_error error;

	symbols_pipe_init(&pipe, stdout);
	if (flags & SYMBOLS_LOW)
		go_last();
	return symbols_resolve(db_path, run_id, flags, &pipe, NULL, NULL, &result, &error) ? 3 : 0;
}

int symbols_main(int argc, char **argv)
{
	struct symbols_result result;
	struct store_error error;
	bool terminal = isatty(STDERR_FILENO) && isatty(STDOUT_FILENO);
	const char *option = argc >= 5 ? argv[4] : "";
	unsigned flags = 0;
	char *end;
	long long run_id;

	run_id = argc >= 4 ? strtoll(argv[3], &end, 10) : -1;
	/* A reader of the output may go away; the work goes on. */
	signal(SIGPIPE, SIG_IGN);
	if (argc == 6)
		symbols_keep(argv[5]);
	if (strcmp(option, "--again") == 0)
		flags = SYMBOLS_AGAIN;
	else if (strcmp(option, TELL_LOW) == 0)
		flags = SYMBOLS_LOW;
	if (run_id >= 0 && !*end && (strcmp(option, TELL) == 0 || flags == SYMBOLS_LOW))
		return tell(argv[2], run_id, flags);
	if (strcmp(option, ALONE) == 0)
		argc = 4;
	if (argc < 4 || argc > 5 || (argc == 5 && !flags) || run_id < 0 || *end) {
		fprintf(stderr, "heaptaped: wrong use of " SYMBOLS_OPTION "\n"
				"Usage: heaptaped " SYMBOLS_OPTION " FILE RUN [--again]\n"
				"Try 'heaptaped --help'.\n");
		return 2;
	}
	if (symbols_resolve(argv[2], run_id, flags, NULL, terminal ? print_progress : NULL, NULL,
			    &result, &error) < 0) {
		fprintf(stderr, "%sheaptaped: %s\n", terminal ? "\r\033[K" : "", error.text);
		return 3;
	}
	if (terminal)
		fputs("\r\033[K", stderr);
	print_result(&result);
	return 0;
}

/* What symbols_keep() reads, malloced; NULL: no file is held. */
static char *held_text(const struct symbols_held *held, unsigned count)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = count ? open_memstream(&text, &bytes) : NULL;

	for (unsigned i = 0; out && i < count; i++)
		fprintf(out, "%s%lld=%d", i ? "," : "", (long long)held[i].module_id, held[i].fd);
	if (out && fclose(out) != 0) {
		free(text);
		text = NULL;
	}
	return text;
}

int symbols_spawn(const char *db_path, int64_t run_id, enum symbols_how how,
		  const struct symbols_held *held, unsigned held_count,
		  struct symbols_worker *ret_worker)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	char program[] = "heaptaped", option[] = SYMBOLS_OPTION, run[32];
	char words[][8] = { ALONE, TELL, TELL_LOW }, *files = held_text(held, held_count);
	char *db = strdup(db_path);
	char *arguments[] = { program, option, db, run, words[how], files, NULL };
	int ends[2] = { -1, -1 }, status;

	*ret_worker = (struct symbols_worker){ .fd = -1 };
	if (!db || (how != SYMBOLS_ALONE && pipe2(ends, O_CLOEXEC) < 0)) {
		free(db);
		free(files);
		return -errno;
	}
	snprintf(run, sizeof(run), "%lld", (long long)run_id);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	if (how == SYMBOLS_ALONE)
		posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	else
		posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	/* Copies of the held files are inherited; anything else is closed on exec. */
	for (unsigned i = 0; files && i < held_count; i++)
		posix_spawn_file_actions_adddup2(&actions, held[i].fd, held[i].fd);
	if (!files)
		posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	status = posix_spawn(&ret_worker->pid, "/proc/self/exe", &actions, &attributes, arguments,
			     environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free(db);
	free(files);
	if (how == SYMBOLS_ALONE)
		return -status;
	close(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	if (status)
		close(ends[0]);
	else
		ret_worker->fd = ends[0];
	return -status;
}

void symbols_jit_module(pid_t pid, int64_t process_id, char ret_path[64], char ret_build_id[64])
{
	snprintf(ret_path, 64, "/tmp/perf-%d.map", (int)pid);
	snprintf(ret_build_id, 64, SYMBOLS_JIT_PREFIX "%lld", (long long)process_id);
}
