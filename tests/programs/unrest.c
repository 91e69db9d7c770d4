/*
 * unrest THREADS SECONDS: threads that allocate, resize and free all the time, their own blocks and one
 * another's, so that a switch of the recording meets every state a heap can be in. Every block's bytes
 * are checked before it is freed. With a third argument a child is forked now and then.
 */
#include <pthread.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/programs/say.h"

#define SHARED 4096

static struct {
	_Atomic(unsigned char *) at;
} slots[SHARED];
static atomic_bool over;

static void check(unsigned char *block)
{
	size_t bytes;

	memcpy(&bytes, block, sizeof(bytes));
	for (size_t i = sizeof(bytes); i < bytes; i += 61)
		if (block[i] != (unsigned char)(bytes + i))
			abort();
}

static void fill(unsigned char *block, size_t bytes)
{
	memcpy(block, &bytes, sizeof(bytes));
	for (size_t i = sizeof(bytes); i < bytes; i += 61)
		block[i] = (unsigned char)(bytes + i);
}

static unsigned pick(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*state >> 33);
}

static void *body(void *number)
{
	uint64_t state = (uintptr_t)number * 977 + 1;
	bool may_end = (uintptr_t)number % 2;

	for (unsigned turn = 0; !over; turn++) {
		unsigned what = pick(&state) % 100;
		size_t bytes = 16 + (what < 90 ? pick(&state) % 500
					       : pick(&state) % (what < 99 ? 40000 : 3000000));
		unsigned char *block = what % 7 ? malloc(bytes) : calloc(1, bytes), *old;

		if (!block)
			abort();
		fill(block, bytes);
		if (what % 5 == 0) {
			bytes += 16 + bytes / 3;
			block = realloc(block, bytes);
			fill(block, bytes);
		}
		old = atomic_exchange(&slots[pick(&state) % SHARED].at, block);
		if (old)
			check(old);
		free(old);
		if (may_end && turn == 20000)
			return NULL;
	}
	return (void *)1;
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 2;
	time_t end = time(NULL) + (argc > 2 ? atoi(argv[2]) : 1);
	pthread_t threads[64];

	for (unsigned i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, body, (void *)(uintptr_t)i);
	while (time(NULL) < end) {
		for (unsigned i = 0; i < count; i++) {
			/* Threads of odd numbers end and begin again. */
			if (i % 2 == 0)
				continue;
			pthread_join(threads[i], NULL);
			pthread_create(&threads[i], NULL, body, (void *)(uintptr_t)i);
		}
		if (argc > 3) {
			pid_t pid = fork();

			if (!pid) {
				for (unsigned i = 0; i < 1000; i++)
					free(malloc(i));
				_exit(0);
			}
			waitpid(pid, NULL, 0);
		}
		if (count < 2)
			usleep(1000);
	}
	over = true;
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < SHARED; i++) {
		if (slots[i].at)
			check(slots[i].at);
		free(slots[i].at);
	}
	say("done\n");
	say_write();
	return 0;
}
