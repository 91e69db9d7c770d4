/*
 * Threads that live for a few blocks each, one after another, while the main thread allocates, too.
 * Some blocks outlive the thread that took them. fleeting THREADS
 */
#include <pthread.h>
#include <stdlib.h>

#define BLOCKS 20
#define OTHERS 20

static void *blocks[BLOCKS];

static void *live_briefly(void *unused)
{
	(void)unused;
	for (int i = 0; i < BLOCKS; i++)
		blocks[i] = malloc(100 + (size_t)i);
	for (int i = 0; i < BLOCKS; i += 2)
		free(blocks[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 1;

	for (int round = 0; round < threads; round++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, live_briefly, NULL) != 0)
			return 1;
		for (int i = 0; i < OTHERS; i++) {
			void *volatile block = malloc(200);

			free(block);
		}
		pthread_join(thread, NULL);
		for (int i = 1; i < BLOCKS; i += 2)
			free(blocks[i]);
	}
	return 0;
}
