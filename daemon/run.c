/* A run begins: by whose word, and what is missing in it. */
#include "daemon/run.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/text.h"

static int add_row(struct run *run, const char *label, const char *command, const char *cwd,
		   const char *settings)
{
	struct writer *writer = &run->daemon->writer;
	char host[256] = "";
	struct statement *add;
	int64_t run_id;

	if (writer->failed)
		daemon_retry(run->daemon); /* perhaps there is room again */
	if (writer_begin_soon(writer) != 0)
		return -EIO;
	gethostname(host, sizeof(host) - 1);
	add = writer_statement(writer, SQL_RUN_ADD);
	run->started_at = clock_realtime_ns();
	writer_bind_text(add, P_label, label);
	writer_bind_text(add, P_command, command);
	writer_bind_text(add, P_cwd, cwd);
	writer_bind_text(add, P_host, host);
	writer_bind(add, { P_started_at, run->started_at });
	writer_bind_text(add, P_version, HEAPTAPE_VERSION);
	writer_bind_text(add, P_settings, settings);
	writer_bind_text(add, P_recorder, writer->recorder);
	writer_bind_text(add, P_socket, run->daemon->socket_path);
	run_id = writer_add(writer, add);
	if (run_id < 0)
		return (int)run_id;
	run->run_id = run_id;
	return writer_commit(writer);
}

static struct run *run_new(struct daemon *daemon)
{
	struct run *run = calloc(1, sizeof(*run));

	if (run) {
		run->daemon = daemon;
		run->started_ns = clock_monotonic_ns();
		run->pending.pidfd = -1;
	}
	return run;
}

void run_free(struct run *run)
{
	for (uint32_t i = 0; i < run->process_count; i++)
		if (run->processes[i].pidfd >= 0)
			close(run->processes[i].pidfd);
	pending_release(&run->pending);
	free(run->processes);
	free(run);
}

bool run_dormant(char *const *settings, size_t count)
{
	static const char name[] = "HEAPTAPE_DORMANT=";
	const size_t length = sizeof(name) - 1;

	for (size_t i = 0; i < count; i++)
		if (strncmp(settings[i], name, length) == 0)
			return settings[i][length] && strcmp(settings[i] + length, "0") != 0;
	return false;
}

int run_start(struct daemon *daemon, const Heaptape__RunStart *message, struct run_command *command,
	      struct run **ret_run)
{
	struct run *run = run_new(daemon);
	char *words = text_command(message->command, message->n_command);
	char *settings = text_lines(message->settings, message->n_settings);
	int error = -ENOMEM;

	if (!run || !words || !settings)
		goto out;
	while (!(run->token & INT64_MAX))
		if (getrandom(&run->token, sizeof(run->token), 0) < 0)
			run->token = run->started_ns;
	run->command = command;
	run->token &= INT64_MAX; /* it travels as decimal text */
	run->recording = !run_dormant(message->settings, message->n_settings);
	error = add_row(run, message->label, words, message->cwd, settings);
	if (error)
		goto out;
	run->next = daemon->runs;
	daemon->runs = run;
	*ret_run = run;
out:
	free(words);
	free(settings);
	if (error && run)
		run_free(run);
	return error;
}

struct run *run_of(const struct daemon *daemon, uint64_t token, uint32_t pid, uint32_t parent_pid)
{
	struct run *run;

	for (run = daemon->runs; run; run = run->next)
		if (token ? run->token == token
			  : run->by_hand && !run->token &&
				    (run_find_process(run, (pid_t)pid) ||
				     run_find_process(run, (pid_t)parent_pid)))
			break;
	return run;
}

int run_of_process(struct daemon *daemon, const Heaptape__Hello *hello, struct run **ret_run)
{
	struct run *run = run_of(daemon, hello->run_token, 0, hello->parent_pid);
	char *command, *settings;
	int error = -ENOMEM;

	if (run) {
		*ret_run = run;
		return 0;
	}
	run = run_new(daemon);
	command = text_command(hello->command, hello->n_command);
	settings = text_lines(hello->settings, hello->n_settings);
	if (!run || !command || !settings)
		goto out;
	run->by_hand = true;
	run->token =
		hello->run_token; /* of a daemon that was killed, or made by the first process */
	run->ended = true;	  /* nobody will say more */
	run->recording = !run_dormant(hello->settings, hello->n_settings);
	error = add_row(run, "", *command ? command : hello->executable, "", settings);
	if (error)
		goto out;
	run->next = daemon->runs;
	daemon->runs = run;
	*ret_run = run;
out:
	free(command);
	free(settings);
	if (error && run)
		run_free(run);
	return error;
}

void run_refused(struct run *run, const Heaptape__Hello *hello, const char *why)
{
	char text[PATH_MAX + 128];

	run->lost = true;
	run->lost_forks += hello->forked;
	run->spawns_seen += !hello->forked;
	snprintf(text, sizeof(text), "process %u (%s) is not recorded: %s", hello->pid,
		 hello->executable, why);
	writer_note(&run->daemon->writer, run->run_id, 0, clock_monotonic_ns() - run->started_ns,
		    text);
}

void run_add_lost(struct run *run, int64_t process_id, uint32_t lost, const char *what)
{
	char text[256];

	if (!lost)
		return;
	run->lost = true;
	snprintf(text, sizeof(text), "%s and are not recorded: %u", what, lost);
	writer_note(&run->daemon->writer, run->run_id, process_id,
		    clock_monotonic_ns() - run->started_ns, text);
}

void run_add_forks(struct run *run, int64_t process_id, uint32_t forks, uint32_t lost)
{
	run->forks += forks;
	run->lost_forks += lost;
	run_add_lost(run, process_id, lost, "forked children that could not connect to heaptaped");
}

void run_add_lost_execs(struct run *run, int64_t process_id, uint32_t lost)
{
	run_add_lost(run, process_id, lost,
		     "programs that were started and could not be announced");
}
