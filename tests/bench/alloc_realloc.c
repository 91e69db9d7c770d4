/* One thread, buffers that grow: many small strings, some long logs, one huge array.
 * alloc_realloc [ROUNDS] */
#include "tests/bench/alloc_bench.h"

#define STRINGS 1000

int main(int argc, char **argv)
{
	size_t rounds = bench_argument(argc, argv, 1, 60);
	static char *strings[STRINGS];
	static size_t lengths[STRINGS];
	uint64_t state = 5, operations = 0;
	double began = bench_now();

	for (size_t round = 0; round < rounds; round++) {
		/* Strings that grow by a few bytes each, in turn. */
		for (size_t i = 0; i < 100 * STRINGS; i++) {
			size_t at = bench_random(&state) % STRINGS;
			size_t more = 1 + bench_random(&state) % 40;

			strings[at] = realloc(strings[at], lengths[at] + more);
			memset(strings[at] + lengths[at], 'x', more);
			lengths[at] += more;
			operations++;
		}
		for (size_t i = 0; i < STRINGS; i++) {
			free(strings[i]);
			strings[i] = NULL;
			lengths[i] = 0;
			operations++;
		}
		/* Logs that grow by half, two side by side. */
		for (size_t i = 0; i < 4; i++) {
			char *one = NULL, *two = NULL;

			for (size_t size = 4096, old = 0; size < (size_t)8 << 20;
			     old = size, size += size / 2) {
				one = realloc(one, size);
				memset(one + old, 1, size - old);
				two = realloc(two, size);
				memset(two + old, 2, size - old);
				operations += 2;
			}
			free(one);
			free(two);
			operations += 2;
		}
		/* An array that grows a little at a time. */
		char *array = NULL;

		for (size_t size = 0; size < (size_t)16 << 20; size += 65536) {
			array = realloc(array, size + 65536);
			memset(array + size, 3, 65536);
			operations++;
		}
		free(array);
		operations++;
	}
	bench_report("realloc", operations, began);
	return 0;
}
