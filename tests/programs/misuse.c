/*
 * Misuses its heap in the way its first argument names, on a block of the size the second gives
 * (default 24), and prints "survived" should it come to that.
 */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Every function named here is a frame of its own. */
#pragma GCC optimize("no-optimize-sibling-calls")
#define APART __attribute__((noinline, noclone))

static size_t size = 24;
static char *volatile block;

static APART char *make(void)
{
	char *made = malloc(size);

	return made;
}

static APART char *make_aligned(void)
{
	char *made = aligned_alloc(256, size);

	return made;
}

static APART void drop(char *p)
{
	free(p);
}

/* Not the same code, or it would be the same function. */
static APART void drop_again(char *p)
{
	free(p);
	__asm__ volatile("nop");
}

static APART void *drop_cb(void *p)
{
	drop(p);
	return NULL;
}

static APART char *grow(char *p)
{
	char *grown = realloc(p, 2 * size);

	return grown;
}

static APART void measure(char *p)
{
	if (malloc_usable_size(p) == 77)
		puts("77");
}

static void on_other_thread(char *p)
{
	pthread_t thread;

	pthread_create(&thread, NULL, drop_cb, p);
	pthread_join(thread, NULL);
}

static void twice(void)
{
	block = make();
	drop(block);
	drop_again(block);
}

static void twice_aligned(void)
{
	block = make_aligned();
	drop(block);
	drop_again(block);
}

static void twice_threads(void)
{
	block = make();
	on_other_thread(block);
	drop_again(block);
}

/* The heap's own list holds the block still, but not on top. */
static void twice_later(void)
{
	char *other;

	block = make();
	other = make();
	drop(block);
	drop(other);
	drop_again(block);
}

static void twice_in_child(void)
{
	int status;
	pid_t child = fork();

	if (!child) {
		twice();
		_exit(0);
	}
	waitpid(child, &status, 0);
	printf("child %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void handler(int number)
{
	(void)number;
	twice();
}

static void twice_in_handler(void)
{
	signal(SIGUSR1, handler);
	raise(SIGUSR1);
}

static volatile sig_atomic_t alarms;
static timer_t timer;

#define ALARMS 200
static const struct itimerspec soon = { .it_value = { 0, 200000 } };

static void alarm_cb(int number)
{
	(void)number;
	drop_again(block);
	if (++alarms < ALARMS)
		timer_settime(timer, 0, &soon, NULL);
}

/* The handler comes in the middle of malloc and free, wherever that is. */
static void twice_amid_malloc(void)
{
	struct sigaction action = { .sa_handler = alarm_cb };
	char *neighbour = make(); /* keeps the page from becoming part of a larger block */

	sigaction(SIGALRM, &action, NULL);
	block = make();
	drop(block);
	timer_create(CLOCK_MONOTONIC, NULL, &timer);
	timer_settime(timer, 0, &soon, NULL);
	while (alarms < ALARMS)
		free(malloc(1000 + (size_t)alarms * 500));
	drop(neighbour);
}

static void inside(void)
{
	block = make();
	drop_again(block + 8);
}

static void foreign(void)
{
	static char here[64];

	drop_again(here + 16);
}

static void regrow(void)
{
	block = make();
	drop(block);
	block = grow(block);
}

/* It was moved, so the old one is free. */
static void moved(void)
{
	block = make();
	grow(block);
	drop_again(block);
}

static void regrow_inside(void)
{
	block = make();
	block = grow(block + 16);
}

static void remeasure(void)
{
	block = make();
	drop(block);
	measure(block);
}

static void beyond(void)
{
	block = make();
	memset(block + size, 'x', 3);
	drop(block);
}

static void beyond_aligned(void)
{
	block = make_aligned();
	memset(block + size, 'x', 1);
	drop(block);
}

static void beyond_grow(void)
{
	block = make();
	memset(block + size, 'x', 5);
	block = grow(block);
}

/* Never freed: found when the process ends. */
static void beyond_live(void)
{
	block = make();
	block[size + 1] = 'x';
}

static void write_freed(void)
{
	block = make();
	drop(block);
	block[size - 1] = 'x';
	/* Its turn comes. */
	for (int i = 0; i < 5000; i++)
		drop_again(make());
	make();
}

static const struct {
	const char *name;
	void (*run)(void);
} ways[] = {
	{ "twice", twice },
	{ "twice_aligned", twice_aligned },
	{ "twice_threads", twice_threads },
	{ "twice_later", twice_later },
	{ "twice_in_child", twice_in_child },
	{ "twice_in_handler", twice_in_handler },
	{ "twice_amid_malloc", twice_amid_malloc },
	{ "inside", inside },
	{ "foreign", foreign },
	{ "regrow", regrow },
	{ "moved", moved },
	{ "regrow_inside", regrow_inside },
	{ "remeasure", remeasure },
	{ "beyond", beyond },
	{ "beyond_aligned", beyond_aligned },
	{ "beyond_grow", beyond_grow },
	{ "beyond_live", beyond_live },
	{ "write_freed", write_freed },
};

int main(int argc, char **argv)
{
	if (argc > 2)
		size = strtoul(argv[2], NULL, 10);
	for (size_t i = 0; argc > 1 && i < sizeof(ways) / sizeof(ways[0]); i++)
		if (!strcmp(ways[i].name, argv[1])) {
			ways[i].run();
			puts("survived");
			return 0;
		}
	return 2;
}
