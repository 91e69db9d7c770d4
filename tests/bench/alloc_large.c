/* One thread, large blocks of random sizes, 32 KiB to 4 MiB, the first and the last page and some
 * between written. alloc_large [THOUSANDS] [LIVE] */
#include "tests/bench/alloc_bench.h"

int main(int argc, char **argv)
{
	size_t count = bench_argument(argc, argv, 1, 200) * 1000;
	size_t live = bench_argument(argc, argv, 2, 40);
	char **set = calloc(live, sizeof(*set));
	uint64_t state = 3, operations = 0;
	double began = bench_now();

	for (size_t i = 0; i < count / 2; i++) {
		size_t at = bench_random(&state) % live;
		unsigned shift = 15 + (unsigned)(bench_random(&state) % 7);
		size_t size = ((size_t)1 << shift) + bench_random(&state) % ((size_t)1 << shift);

		free(set[at]);
		set[at] = malloc(size);
		for (size_t offset = 0; offset < size; offset += 16384)
			set[at][offset] = 1;
		set[at][size - 1] = 1;
		operations += 2;
	}
	for (size_t i = 0; i < live; i++)
		free(set[i]);
	free(set);
	bench_report("large", operations, began);
	return 0;
}
