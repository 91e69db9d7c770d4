/*
 * bare PROGRAM: empties its environment, then starts PROGRAM with another digit appended in each of
 * the ways there are: system, popen, the two from several threads at once, posix_spawn and execve with
 * no variables and with no environment at all, env -i, command substitution by wordexp. Prints how each ended, what popen read, the
 * variables it has itself afterwards, what became of its signals. Ends with 9.
 */
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <wordexp.h>

#include "tests/programs/say.h"

extern char **environ;
static char *program;
static char command[4096];

static const char *with(const char *before, char digit, const char *after)
{
	snprintf(command, sizeof(command), "%s%s%c%s", before, program, digit, after);
	return command;
}

static int status_of(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return status;
}

static int read_all(const char *line)
{
	char text[256] = "";
	FILE *pipe = popen(line, "r");
	size_t bytes = pipe ? fread(text, 1, sizeof(text), pipe) : 0;

	return pipe && bytes ? pclose(pipe) : -1;
}

static void *from_thread(void *number)
{
	char line[4096];
	long failed = 0;

	for (int i = 0; i < 10; i++) {
		snprintf(line, sizeof(line), "exec %s%c", program, (char)(long)number);
		failed += system(line) != 0;
		snprintf(line, sizeof(line), "echo %ld; exec %s%c", (long)number, program,
			 (char)(long)number);
		failed += read_all(line) != 0;
	}
	return (void *)failed;
}

static void *cancelled(void *unused)
{
	(void)unused;
	system("exec sleep 60");
	return NULL;
}

static void substitute(void)
{
	wordexp_t words;
	int error = wordexp(with("$(echo a b; ", '0', ") c"), &words, 0);

	say("wordexp %d, %d words\n", error, error ? 0 : (int)words.we_wordc);
}

static pid_t exec_with(char digit, char **envp)
{
	pid_t pid = fork();
	char *const argv[] = { command, NULL };

	with("", digit, "");
	if (pid == 0) {
		execve(command, argv, envp);
		_exit(98);
	}
	return pid;
}

int main(int argc, char **argv)
{
	char *nothing[] = { NULL }, *words[] = { command, NULL };
	struct sigaction old;
	pthread_t ids[3], id;
	void *failed = NULL;
	pid_t pid;

	if (argc < 2)
		return 99;
	program = argv[1];
	clearenv();
	signal(SIGQUIT, SIG_IGN);
	say("system %d %d\n", system(with("exec ", '1', "")), system("exit 6"));
	say("no shell %d\n", system(NULL));
	say("ended by a signal %d\n", system("kill -TERM $$"));
	say("popen %d\n", read_all(with("echo yes; exec ", '2', "")));
	for (long i = 0; i < 3; i++)
		pthread_create(&ids[i], NULL, from_thread, (void *)('3' + i));
	for (int i = 0; i < 3; i++) {
		pthread_join(ids[i], &failed);
		say("failed %ld\n", (long)failed);
	}
	with("", '6', "");
	posix_spawn(&pid, command, NULL, NULL, words, nothing);
	say("spawn %d\n", status_of(pid));
	say("execve %d\n", status_of(exec_with('7', nothing)));
	say("execve %d\n", status_of(exec_with('8', NULL)));
	substitute();
	say("env %d\n", system(with("env -i ", '9', "")));
	pthread_create(&id, NULL, cancelled, NULL);
	usleep(300000);
	pthread_cancel(id);
	pthread_join(id, &failed);
	say("cancelled %d\n", failed == PTHREAD_CANCELED);
	sigaction(SIGINT, NULL, &old);
	say("SIGINT %d", old.sa_handler == SIG_DFL);
	sigaction(SIGQUIT, NULL, &old);
	say(", SIGQUIT %d\n", old.sa_handler == SIG_IGN);
	say("children left %d\n", waitpid(-1, NULL, WNOHANG) != -1);
	for (char **at = environ; at && *at; at++)
		say("has %s\n", *at);
	say_write();
	return 9;
}
