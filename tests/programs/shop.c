/*
 * The program that README.md and viewer/README.md record: a shop with a catalogue and two clerks, each a
 * thread that serves customers. It leaks, allocates what it need not, and frees blocks of other threads, so
 * that a recording has something to show. `shop` serves 2,000 customers and exits; `shop open` serves until
 * it is killed.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ITEMS 2000
#ifndef CUSTOMERS
#define CUSTOMERS 1000 /* of each clerk */
#endif

struct item {
	char name[48];
	int price;
};

struct session {
	struct session *next;
	char basket[500];
};

static struct item *catalogue[ITEMS];
static struct session *forgotten[2];
static char *receipts[2][CUSTOMERS];

static void *xmalloc(size_t size)
{
	void *block = malloc(size);

	if (!block)
		abort();
	return block;
}

static void catalogue_load(void)
{
	for (int i = 0; i < ITEMS; i++) {
		catalogue[i] = xmalloc(sizeof(struct item));
		snprintf(catalogue[i]->name, sizeof(catalogue[i]->name), "item %d", i);
		catalogue[i]->price = i % 97;
	}
}

static int cheaper(const void *a, const void *b)
{
	return (*(struct item *const *)a)->price - (*(struct item *const *)b)->price;
}

/* Sorts a copy of the catalogue when every receipt is written: the heap is never larger than now. */
static void catalogue_sort(void)
{
	struct item **sorted = xmalloc(sizeof(catalogue));

	memcpy(sorted, catalogue, sizeof(catalogue));
	qsort(sorted, ITEMS, sizeof(*sorted), cheaper);
	memcpy(catalogue, sorted, sizeof(catalogue));
	free(sorted);
}

/* A buffer for each page, freed at once: one on the stack would do. */
static size_t page_render(int customer)
{
	char *page = xmalloc(2000);
	size_t length = (size_t)snprintf(page, 2000, "Hello, %d: %s", customer,
					 catalogue[customer % ITEMS]->name);

	free(page);
	return length;
}

/* Every tenth session is kept in a list that nobody reads: a leak. */
static void session_open(int clerk, int customer)
{
	struct session *session = xmalloc(sizeof(*session));

	memset(session->basket, customer, sizeof(session->basket));
	if (customer % 10 == 0) {
		session->next = forgotten[clerk];
		forgotten[clerk] = session;
	} else {
		free(session);
	}
}

static void serve(int clerk, int customer)
{
	page_render(customer);
	session_open(clerk, customer);
}

static void *clerk_run(void *argument)
{
	int clerk = *(int *)argument;

	for (int i = 0; i < CUSTOMERS; i++) {
		serve(clerk, i);
		receipts[clerk][i] = xmalloc(150);
	}
	return NULL;
}

/* The main thread frees the receipts, which the clerks allocated, and the catalogue but for every 400th item. */
static void shop_close(void)
{
	for (int i = 0; i < CUSTOMERS; i++) {
		free(receipts[0][i]);
		free(receipts[1][i]);
	}
	for (int i = 0; i < ITEMS; i++) {
		if (i % 400 != 0)
			free(catalogue[i]);
	}
}

int main(int argc, char **argv)
{
	pthread_t clerks[2];
	int numbers[2] = { 0, 1 };

	catalogue_load();
	for (int i = 0; argc > 1 && strcmp(argv[1], "open") == 0; i++) {
		serve(0, i);
		usleep(1000);
	}
	for (int i = 0; i < 2; i++)
		if (pthread_create(&clerks[i], NULL, clerk_run, &numbers[i]) != 0)
			return 1;
	for (int i = 0; i < 2; i++)
		pthread_join(clerks[i], NULL);
	catalogue_sort();
	shop_close();
	return 0;
}
