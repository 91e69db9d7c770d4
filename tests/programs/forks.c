/*
 * forks CASE: processes copied in the middle of threads that allocate. A child allocates 8101 bytes at
 * its end.
 *
 *   streams   fork waits for the list of streams, which a flush has locked that waits for a stream,
 *             whose owner allocates before it unlocks it
 *   handlers  fork's handlers allocate 8202 bytes; once more from a signal handler
 *   storm     threads that fork all the time, others that allocate all the time
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/programs/say.h"

#define FORKS 10
#define CHILD_STATUS 3

static int stop;
static long ids[2];

static void touch(size_t size)
{
	char *block = malloc(size);

	if (!block)
		_exit(90);
	block[0] = block[size - 1] = 1;
	free(block);
}

static void *use_little(void *context)
{
	touch(10);
	touch(300000);
	return context;
}

/* Blocks of all kinds, and another thread's. */
static void use_much(void)
{
	char *blocks[40], *grown = NULL;
	pthread_t thread;

	for (size_t i = 0; i < 40; i++) {
		blocks[i] = calloc(1, i * i * 60 + 1);
		if (!blocks[i] || blocks[i][i * i * 60])
			_exit(91);
		memset(blocks[i], 1, i * i * 60 + 1);
	}
	for (size_t i = 0; i < 40; i++) {
		grown = realloc(grown, (i + 1) * 20000);
		free(blocks[i]);
	}
	free(grown);
	touch(40u << 20);
	if (pthread_create(&thread, NULL, use_little, NULL) || pthread_join(thread, NULL))
		_exit(92);
}

static void *fork_once(void *id)
{
	int status = -1;
	pid_t pid;

	if (id)
		__atomic_store_n((long *)id, self(), __ATOMIC_RELEASE);
	pid = fork();
	if (!pid) {
		use_much();
		free(malloc(8101));
		_exit(CHILD_STATUS);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status != CHILD_STATUS << 8)
		_exit(93);
	return NULL;
}

static void *fork_often(void *context)
{
	for (int i = 0; i < FORKS; i++)
		fork_once(NULL);
	return context;
}

static void *flush_all(void *id)
{
	__atomic_store_n((long *)id, self(), __ATOMIC_RELEASE);
	fflush(NULL);
	return NULL;
}

static void *allocate(void *context)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		use_much();
	return context;
}

/* Until the thread sleeps and goes on sleeping: it waits for a lock. */
static void wait_until_it_waits(const long *id)
{
	char path[64], text[256];

	for (int asleep = 0; asleep < 20;) {
		const char *state = NULL;
		ssize_t got = 0;
		int fd;

		usleep(5000);
		snprintf(path, sizeof(path), "/proc/self/task/%ld/stat",
			 __atomic_load_n(id, __ATOMIC_ACQUIRE));
		fd = open(path, O_RDONLY);
		if (fd >= 0) {
			got = read(fd, text, sizeof(text) - 1);
			close(fd);
		}
		text[got > 0 ? got : 0] = '\0';
		state = strrchr(text, ')');
		asleep = state && state[2] == 'S' ? asleep + 1 : 0;
	}
}

static void streams(void)
{
	FILE *file = fopen("/dev/null", "w");
	pthread_t threads[2];

	if (!file)
		_exit(94);
	flockfile(file);
	pthread_create(&threads[0], NULL, flush_all, &ids[0]);
	wait_until_it_waits(&ids[0]);
	pthread_create(&threads[1], NULL, fork_once, &ids[1]);
	wait_until_it_waits(&ids[1]);
	for (int i = 0; i < 20; i++)
		use_much();
	funlockfile(file);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	use_much();
	fclose(file);
}

static void late_cb(void)
{
	free(malloc(8202));
}

static void signal_cb(int number)
{
	(void)number;
	fork_once(NULL);
}

static void handlers(void)
{
	pthread_atfork(late_cb, late_cb, late_cb);
	fork_once(NULL);
	signal(SIGUSR1, signal_cb);
	raise(SIGUSR1);
}

static void storm(void)
{
	pthread_t forking[3], allocating[2];

	for (int i = 0; i < 2; i++)
		pthread_create(&allocating[i], NULL, allocate, NULL);
	for (int i = 0; i < 3; i++)
		pthread_create(&forking[i], NULL, fork_often, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(forking[i], NULL);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(allocating[i], NULL);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	if (!strcmp(argv[1], "streams"))
		streams();
	else if (!strcmp(argv[1], "handlers"))
		handlers();
	else
		storm();
	say("done\n");
	say_write();
	return 0;
}
