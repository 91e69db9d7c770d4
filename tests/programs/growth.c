/* A heap history with marks 'A' and 'B', in which each function has its own part between them. */
#include <stdlib.h>

#include "shim/api/heaptape.h"

#define APART __attribute__((noinline))

static void *volatile kept[10], *volatile lost[7], *volatile late[3];
static void *volatile resized, *volatile replaced, *volatile empty;

static APART void stays(int i)
{
	kept[i] = malloc(100);
}

static APART void is_lost(int i)
{
	lost[i] = calloc(10, 100);
}

static APART void grows(size_t bytes)
{
	static void *volatile last;

	last = malloc(bytes);
	(void)last;
}

static APART void passes(void)
{
	void *volatile block = malloc(50);

	free(block);
}

static APART void is_replaced(void)
{
	free(replaced);
	replaced = malloc(4096);
}

static APART void is_resized(size_t bytes)
{
	resized = realloc(resized, bytes);
}

static APART void comes_later(int i)
{
	late[i] = malloc(9999);
}

static APART void has_no_bytes(void)
{
	empty = malloc(0);
}

int main(void)
{
	for (int i = 0; i < 10; i++)
		stays(i);
	for (int i = 0; i < 7; i++)
		is_lost(i);
	passes();
	grows(11);
	is_replaced();
	is_resized(1000);
	heaptape_mark("A");
	for (int i = 0; i < 7; i++)
		free(lost[i]);
	for (int i = 0; i < 5; i++)
		grows(300);
	for (int i = 0; i < 20; i++)
		passes();
	is_replaced();
	is_resized(3000);
	has_no_bytes();
	heaptape_mark("B");
	for (int i = 0; i < 3; i++)
		comes_later(i);
	for (int i = 0; i < 10; i++)
		free(kept[i]);
	passes();
	return 0;
}
