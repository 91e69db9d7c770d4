/* Producers allocate, consumers free, through rings of pointers. alloc_pipe [MILLIONS] [PAIRS] */
#include <pthread.h>
#include <sched.h>

#include "tests/bench/alloc_bench.h"

#define RING 4096
#define PAIRS_MOST 64

struct pipe {
	void *slots[RING];
	_Alignas(64) size_t written;
	_Alignas(64) size_t taken;
	size_t count;
};

static struct pipe pipes[PAIRS_MOST];

static void *producer(void *context)
{
	struct pipe *pipe = context;
	uint64_t state = 11;

	for (size_t i = 0; i < pipe->count; i++) {
		size_t size = 16 + bench_random(&state) % 240;
		char *block = malloc(size);

		block[0] = 1;
		block[size - 1] = 1;
		while (i - __atomic_load_n(&pipe->taken, __ATOMIC_ACQUIRE) >= RING)
			sched_yield();
		pipe->slots[i % RING] = block;
		__atomic_store_n(&pipe->written, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void *consumer(void *context)
{
	struct pipe *pipe = context;

	for (size_t i = 0; i < pipe->count; i++) {
		while (__atomic_load_n(&pipe->written, __ATOMIC_ACQUIRE) <= i)
			sched_yield();
		free(pipe->slots[i % RING]);
		__atomic_store_n(&pipe->taken, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	size_t count = bench_argument(argc, argv, 1, 10) * 1000000;
	size_t pairs = bench_argument(argc, argv, 2, 1);
	pthread_t threads[2 * PAIRS_MOST];
	double began = bench_now();

	if (pairs < 1 || pairs > PAIRS_MOST)
		return 2;
	for (size_t i = 0; i < pairs; i++) {
		pipes[i].count = count / pairs;
		pthread_create(&threads[2 * i], NULL, producer, &pipes[i]);
		pthread_create(&threads[2 * i + 1], NULL, consumer, &pipes[i]);
	}
	for (size_t i = 0; i < 2 * pairs; i++)
		pthread_join(threads[i], NULL);
	bench_report("pipe", 2 * (count / pairs) * pairs, began);
	return 0;
}
