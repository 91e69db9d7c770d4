/*
 * A program with threads that locks its memory, or lowers its own limit of address space: locked
 * current|future|onfault|MEGABYTES THREADS. Prints how that went, and what it has: VmSize, VmRSS, VmLck
 * in KiB. Each thread allocates before and after.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define STACK_BYTES (64 << 10)
#define ROUNDS 2000
#define MOST 64

static pthread_barrier_t barrier;
static int failures;

static void work(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		char *block = malloc(100 + i % 50);

		if (block)
			block[0] = 1;
		else
			__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
		free(block);
	}
}

static void *thread(void *unused)
{
	work();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	work();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return unused;
}

static void *late(void *unused)
{
	work();
	return unused;
}

static long status_kib(const char *what)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	long kib = -1;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, what, strlen(what)))
			kib = atol(line + strlen(what) + 1);
	if (file)
		fclose(file);
	return kib;
}

static int apply(const char *how)
{
	struct rlimit limit;

	if (!strcmp(how, "current"))
		return mlockall(MCL_CURRENT);
	if (!strcmp(how, "future"))
		return mlockall(MCL_CURRENT | MCL_FUTURE);
	if (!strcmp(how, "onfault"))
		return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = (rlim_t)atol(how) << 20;
	return setrlimit(RLIMIT_AS, &limit);
}

int main(int count, char **words)
{
	int threads = count > 2 ? atoi(words[2]) : 0, started = 0, result;
	pthread_t ids[MOST], id;
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_barrier_init(&barrier, NULL, (unsigned)threads + 1);
	work();
	while (started < threads && !pthread_create(&ids[started], &attributes, thread, NULL))
		started++;
	if (started < threads)
		return 2;
	pthread_barrier_wait(&barrier);
	result = apply(words[1]);
	pthread_barrier_wait(&barrier);
	work();
	pthread_barrier_wait(&barrier);
	/* Threads that begin now, one after the other. */
	for (int i = 0; i < 20; i++)
		if (pthread_create(&id, &attributes, late, NULL))
			failures++;
		else
			pthread_join(id, NULL);
	printf("%d %d %ld %ld %ld\n", result, failures, status_kib("VmSize:"), status_kib("VmRSS:"),
	       status_kib("VmLck:"));
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	return 0;
}
