/* One thread, a live set whose members are replaced at random. alloc_random [MILLIONS] [LIVE] */
#include "tests/bench/alloc_bench.h"

/* Mostly small, sometimes a few KiB: as programs' requests are. */
static size_t some_size(uint64_t *state)
{
	uint64_t r = bench_random(state);
	unsigned shift = (unsigned)(r & 15);

	return 8 + (r >> 8) % (shift < 10 ? 120 : shift < 14 ? 1000 : shift < 15 ? 4000 : 16000);
}

int main(int argc, char **argv)
{
	size_t count = bench_argument(argc, argv, 1, 20) * 1000000;
	size_t live = bench_argument(argc, argv, 2, 50000);
	void **set = calloc(live, sizeof(*set));
	uint64_t state = 7, operations = 0;
	double began = bench_now();

	for (size_t i = 0; i < count / 2; i++) {
		size_t at = bench_random(&state) % live, size = some_size(&state);

		free(set[at]);
		set[at] = malloc(size);
		memset(set[at], 1, size < 64 ? size : 64);
		operations += 2;
	}
	for (size_t i = 0; i < live; i++)
		free(set[i]);
	free(set);
	bench_report("random", operations, began);
	return 0;
}
