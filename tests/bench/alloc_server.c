/*
 * Threads as in a server: each handles requests that allocate a few blocks, keeps some in a table
 * that all threads share, and now and then frees what another thread put there.
 * alloc_server [MILLIONS] [THREADS]
 */
#include <pthread.h>

#include "tests/bench/alloc_bench.h"

#define TABLE 20000
#define THREADS_MOST 256

static void *table[TABLE];
static size_t requests;

static void *serve(void *context)
{
	uint64_t state = 99 + (uintptr_t)context;

	for (size_t i = 0; i < requests; i++) {
		size_t size = 64 + bench_random(&state) % 2000;
		void *scratch[6], *session;

		for (size_t j = 0; j < 6; j++) {
			scratch[j] = malloc(16 + bench_random(&state) % 300);
			*(char *)scratch[j] = 1;
		}
		session = malloc(size);
		memset(session, 1, size);
		free(__atomic_exchange_n(&table[bench_random(&state) % TABLE], session,
					 __ATOMIC_ACQ_REL));
		for (size_t j = 0; j < 6; j++)
			free(scratch[j]);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	size_t operations = bench_argument(argc, argv, 1, 20) * 1000000;
	size_t count = bench_argument(argc, argv, 2, 2);
	pthread_t threads[THREADS_MOST];
	double began = bench_now();

	if (count < 1 || count > THREADS_MOST)
		return 2;
	requests = operations / 14 / count;
	for (size_t i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, serve, (void *)i);
	for (size_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < TABLE; i++)
		free(table[i]);
	bench_report("server", requests * 14 * count, began);
	return 0;
}
