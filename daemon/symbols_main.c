/* Symbol resolution as a program of its own, and how the daemon starts it. */
#include "daemon/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

int symbols_main(int argc, char **argv)
{
	struct symbols_result result;
	struct store_error error;
	bool terminal = isatty(STDERR_FILENO) && isatty(STDOUT_FILENO);
	unsigned flags = 0;
	char *end;
	long long run_id;

	if (argc == 5 && strcmp(argv[4], "--again") == 0)
		flags = SYMBOLS_AGAIN;
	run_id = argc >= 4 ? strtoll(argv[3], &end, 10) : -1;
	if (argc < 4 || argc > 5 || (argc == 5 && !flags) || run_id < 0 || *end) {
		fprintf(stderr, "heaptaped: wrong use of " SYMBOLS_OPTION "\n"
				"Usage: heaptaped " SYMBOLS_OPTION " FILE RUN [--again]\n"
				"Try 'heaptaped --help'.\n");
		return 2;
	}
	/* A reader of the output may go away; the work goes on. */
	signal(SIGPIPE, SIG_IGN);
	if (symbols_resolve(argv[2], run_id, flags, terminal ? print_progress : NULL, NULL, &result,
			    &error) < 0) {
		fprintf(stderr, "%sheaptaped: %s\n", terminal ? "\r\033[K" : "", error.text);
		return 3;
	}
	if (terminal)
		fputs("\r\033[K", stderr);
	print_result(&result);
	return 0;
}

pid_t symbols_spawn(const char *db_path, int64_t run_id, int *ret_fd)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	char program[] = "heaptaped", option[] = SYMBOLS_OPTION, run[32];
	char *db = strdup(db_path);
	char *arguments[] = { program, option, db, run, NULL };
	int ends[2], status;
	pid_t pid;

	if (!db)
		return -ENOMEM;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		free(db);
		return -errno;
	}
	snprintf(run, sizeof(run), "%lld", (long long)run_id);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	status = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free(db);
	close(ends[1]);
	if (status) {
		close(ends[0]);
		return -status;
	}
	*ret_fd = ends[0];
	return pid;
}

void symbols_jit_module(pid_t pid, int64_t process_id, char ret_path[64], char ret_build_id[64])
{
	snprintf(ret_path, 64, "/tmp/perf-%d.map", (int)pid);
	snprintf(ret_build_id, 64, SYMBOLS_JIT_PREFIX "%lld", (long long)process_id);
}
