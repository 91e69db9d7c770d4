/*
 * threads COUNT ROUNDS [SEED]: threads that allocate, reallocate and free their own blocks and,
 * through shared slots, each other's. Prints one row per event, in each thread's order, threads
 * mixed.
 */
#include <pthread.h>

#include "tests/programs/say.h"

#define SLOTS 512
#define OWN 64

struct parcel {
	void *block;
	size_t size;
};

static _Atomic(struct parcel *) slots[SLOTS];
static struct parcel parcels[256][4096];
static long rounds;
static uint64_t seed = 1;

static uint32_t draw(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

static size_t draw_size(uint64_t *state)
{
	uint32_t kind = draw(state) % 100;

	if (kind < 80)
		return draw(state) % 500;
	if (kind < 98)
		return draw(state) % 20000;
	return draw(state) % 400000;
}

static void *work(void *argument)
{
	long number = (long)argument;
	uint64_t state = seed * 1000003 + (uint64_t)number;
	struct parcel own[OWN] = { { NULL, 0 } };
	long sent = 0;

	marker();
	for (long i = 0; i < rounds; i++) {
		struct parcel *mine = &own[draw(&state) % OWN];
		uint32_t act = draw(&state) % 10;

		if (act < 3 && mine->block) {
			free_row(mine->block, mine->size);
			mine->block = NULL;
		} else if (act < 5 && mine->block) {
			mine->size = draw_size(&state) + 1;
			mine->block = realloc_row(mine->block, mine->size);
		} else if (act < 7 && mine->block && sent < 4096) {
			/* Send it to whoever empties the slot; free what lay there. */
			struct parcel *letter = &parcels[number][sent++];
			struct parcel *other;

			*letter = *mine;
			mine->block = NULL;
			other = atomic_exchange(&slots[draw(&state) % SLOTS], letter);
			if (other)
				free_row(other->block, other->size);
		} else if (!mine->block) {
			mine->size = draw_size(&state);
			if (act & 1) {
				mine->block = malloc_row(mine->size);
			} else {
				mine->block = calloc(1, mine->size);
				row("calloc", mine->block, mine->size, 0);
			}
			if (mine->size)
				memset(mine->block, (int)number, mine->size);
		}
	}
	for (int i = 0; i < OWN; i++)
		if (own[i].block && (i & 3))
			free_row(own[i].block, own[i].size);
	marker();
	return NULL;
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 2;
	pthread_t threads[256];

	rounds = argc > 2 ? atol(argv[2]) : 1000;
	seed = argc > 3 ? (uint64_t)atol(argv[3]) : 1;
	if (count < 1 || count > 256)
		return 2;
	for (long i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, work, (void *)i);
	for (long i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	say_write();
	return 0;
}
