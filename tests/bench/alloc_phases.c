/* One thread, a program in phases: trees of nodes are built and dropped, every phase with other
 * sizes, and zeroed tables. alloc_phases [PHASES] */
#include "tests/bench/alloc_bench.h"

struct node {
	struct node *next;
	char payload[];
};

int main(int argc, char **argv)
{
	size_t phases = bench_argument(argc, argv, 1, 100);
	uint64_t state = 23, operations = 0;
	double began = bench_now();

	for (size_t phase = 0; phase < phases; phase++) {
		size_t base = 16 + bench_random(&state) % 200;
		struct node *list = NULL;
		void *zeroed[20];

		for (size_t i = 0; i < 20; i++)
			zeroed[i] = calloc(1 + bench_random(&state) % 200000, 1);
		for (size_t i = 0; i < 100000; i++) {
			struct node *node =
				malloc(sizeof(*node) + base + bench_random(&state) % 64);

			node->next = list;
			list = node;
		}
		while (list) {
			struct node *next = list->next;

			free(list);
			list = next;
		}
		for (size_t i = 0; i < 20; i++)
			free(zeroed[i]);
		operations += 200040;
	}
	bench_report("phases", operations, began);
	return 0;
}
