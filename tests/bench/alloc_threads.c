/* Thousands of short threads; half of what each allocates is freed by the next.
 * alloc_threads [THREADS] */
#include <pthread.h>

#include "tests/bench/alloc_bench.h"

#define KEPT 200

static void *kept[KEPT];

static void *work(void *context)
{
	uint64_t state = 17 + (uintptr_t)context;

	for (size_t i = 0; i < KEPT; i++) {
		void *mine = malloc(16 + bench_random(&state) % 1000);

		*(char *)mine = 1;
		free(kept[i]);
		kept[i] = malloc(16 + bench_random(&state) % 1000);
		*(char *)kept[i] = 1;
		free(mine);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	size_t count = bench_argument(argc, argv, 1, 10000);
	double began = bench_now();

	for (size_t i = 0; i < count; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, work, (void *)i) != 0)
			return 1;
		pthread_join(thread, NULL);
	}
	for (size_t i = 0; i < KEPT; i++)
		free(kept[i]);
	bench_report("threads", count * 4 * KEPT, began);
	return 0;
}
