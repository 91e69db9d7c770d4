/*
 * switched COMMANDS...: for recordings that are switched while the program runs. Waits for letters on
 * descriptor 0, does what they say, and answers each with a line: the blocks it has live, by its own
 * count (program's blocks only), and their bytes. Sizes are multiples of 16 that have a size class of
 * their own, so that what is listed without a record has the size that was asked for.
 *
 *   a  allocates 100 blocks, small and large      f  frees every second block
 *   r  grows and shrinks some where they are       t  a thread allocates 50, and ends
 *   w  a thread allocates 50 and waits             x  frees one block of each sleeping thread's
 *   n  makes one allocation and frees it           k  forks a child that serves on (its lines: "child")
 *   c  what follows is for the child               p  prints its live blocks: address,size
 *   q  ends
 */
#include <pthread.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "tests/programs/say.h"

#define BLOCKS_MAX 100000

static struct {
	void *at;
	size_t bytes;
} blocks[BLOCKS_MAX];
static size_t block_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int wake[2], ready[2], to_child[2];
static const char *name = "";

static void allocate(size_t bytes)
{
	void *at = malloc(bytes);

	pthread_mutex_lock(&lock);
	blocks[block_count].at = at;
	blocks[block_count++].bytes = bytes;
	pthread_mutex_unlock(&lock);
}

static void allocate_some(unsigned count)
{
	static const size_t sizes[] = { 16, 48, 112, 1024, 4096, 40960, 1 << 20 };

	for (unsigned i = 0; i < count; i++)
		allocate(sizes[i % (sizeof(sizes) / sizeof(*sizes))]);
}

static void answer(char letter)
{
	size_t live = 0, bytes = 0;

	for (size_t i = 0; i < block_count; i++) {
		if (!blocks[i].at)
			continue;
		live++;
		bytes += blocks[i].bytes;
	}
	say("%s%c %zu %zu\n", name, letter, live, bytes);
	say_write();
}

static void print(void)
{
	for (size_t i = 0; i < block_count; i++)
		if (blocks[i].at)
			say("%lu,%zu\n", (unsigned long)(uintptr_t)blocks[i].at, blocks[i].bytes);
}

static void release(size_t i)
{
	free(blocks[i].at);
	blocks[i].at = NULL;
}

static void *short_thread(void *unused)
{
	allocate_some(50);
	return unused;
}

static void *waiting_thread(void *unused)
{
	char byte;

	allocate_some(50);
	if (write(ready[1], "", 1) != 1 || read(wake[0], &byte, 1) < 0)
		abort();
	return unused;
}

static void start_thread(void *(*body)(void *), bool wait)
{
	static pthread_t thread;
	char byte;

	if (pthread_create(&thread, NULL, body, NULL))
		abort();
	if (wait)
		pthread_join(thread, NULL);
	else if (read(ready[0], &byte, 1) != 1)
		abort();
}

static void resize_some(void)
{
	for (size_t i = 0; i < block_count; i++) {
		size_t bytes = blocks[i].bytes;

		/* In place for the large ones; moving for some. */
		if (!blocks[i].at || bytes < 1024 || i % 3)
			continue;
		bytes = bytes == 1024 ? 4096 : bytes == 4096 ? 1024 : bytes + 4096;
		blocks[i].at = realloc(blocks[i].at, bytes);
		blocks[i].bytes = bytes;
	}
}

static void serve(int fd)
{
	char letter;

	while (read(fd, &letter, 1) == 1) {
		switch (letter) {
		case 'a':
			allocate_some(100);
			break;
		case 'f':
			for (size_t i = 0; i < block_count; i += 2)
				release(i);
			break;
		case 'r':
			resize_some();
			break;
		case 't':
			start_thread(short_thread, true);
			break;
		case 'w':
			start_thread(waiting_thread, false);
			break;
		case 'x':
			for (size_t i = block_count - 50; i < block_count; i += 10)
				release(i);
			break;
		case 'n':
			free(malloc(32));
			break;
		case 'k':
			if (pipe(to_child))
				abort();
			if (!fork()) {
				name = "child ";
				fd = to_child[0];
				close(to_child[1]);
				to_child[1] = 0;
				continue;
			}
			break;
		case 'c':
			if (read(fd, &letter, 1) != 1 || write(to_child[1], &letter, 1) != 1)
				abort();
			continue;
		case 'p':
			print();
			break;
		case 'q':
			if (to_child[1])
				close(to_child[1]);
			while (wait(NULL) > 0)
				;
			return;
		default:
			continue;
		}
		answer(letter);
	}
}

int main(void)
{
	if (pipe(wake) || pipe(ready))
		return 1;
	serve(0);
	return 0;
}
