/*
 * Two threads that take turns, so that the order of all their events is known; the blocks of one
 * are freed by the other. Prints address,size,kind in that order.
 */
#include <pthread.h>

#include "tests/programs/say.h"

#define TURNS 2000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn;
static void *given;
static size_t given_size;

static void *work(void *argument)
{
	int number = (int)(intptr_t)argument;

	for (int i = 0; i < TURNS; i++) {
		pthread_mutex_lock(&lock);
		while (turn % 2 != number)
			pthread_cond_wait(&changed, &lock);
		if (given) {
			say("%lu,%zu,free\n", (unsigned long)(uintptr_t)given, given_size);
			free(given);
		}
		given_size = 1000 + (size_t)(turn % 50);
		given = malloc(given_size);
		say("%lu,%zu,malloc\n", (unsigned long)(uintptr_t)given, given_size);
		turn++;
		pthread_cond_signal(&changed);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	say_write();
	return 0;
}
