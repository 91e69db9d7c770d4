/* One thread, tiny blocks: pairs, stacks and queues of them. alloc_tiny [ROUNDS] */
#include "tests/bench/alloc_bench.h"

#define WINDOW 4096

static void *window[WINDOW];

int main(int argc, char **argv)
{
	size_t rounds = bench_argument(argc, argv, 1, 2000);
	uint64_t state = 1, operations = 0;
	double began = bench_now();

	for (size_t round = 0; round < rounds; round++) {
		/* Pairs. */
		for (size_t i = 0; i < 2 * WINDOW; i++) {
			void *block = malloc(8 + (i & 7) * 8);

			*(volatile char *)block = 1;
			free(block);
		}
		/* A stack: last in, first out. */
		for (size_t i = 0; i < WINDOW; i++) {
			window[i] = malloc(16 + (i & 3) * 16);
			*(size_t *)window[i] = i;
		}
		for (size_t i = WINDOW; i-- > 0;)
			free(window[i]);
		/* A queue of random lengths: first in, first out. */
		for (size_t i = 0; i < 2 * WINDOW; i++) {
			size_t at = i % WINDOW;

			if (i >= WINDOW)
				free(window[at]);
			window[at] = malloc(1 + bench_random(&state) % 128);
			*(char *)window[at] = 1;
		}
		for (size_t i = 0; i < WINDOW; i++)
			free(window[i]);
		operations += (2 + 1 + 2) * 2 * WINDOW;
	}
	bench_report("tiny", operations, began);
	return 0;
}
