/* churn EVENTS [THREADS]: so many malloc/free pairs, mixed sizes, in each thread; prints nothing. */
#include <pthread.h>

#include "tests/programs/say.h"

static long count;

static void *work(void *argument)
{
	void *ring[64] = { NULL };

	(void)argument;
	for (long i = 0; i < count; i++) {
		free(ring[i & 63]);
		ring[i & 63] = malloc((size_t)(i * 7919 % 2000));
	}
	for (int i = 0; i < 64; i++)
		free(ring[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	long threads = argc > 2 ? atol(argv[2]) : 1;
	pthread_t ids[256];

	count = argc > 1 ? atol(argv[1]) : 100000;
	if (threads > 256)
		return 2;
	for (long i = 1; i < threads; i++)
		pthread_create(&ids[i], NULL, work, NULL);
	work(NULL);
	for (long i = 1; i < threads; i++)
		pthread_join(ids[i], NULL);
	return 0;
}
