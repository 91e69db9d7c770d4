/* ledger [EXTRA]: a heap history in which no two figures are alike, so that a report that confuses two
 * columns shows it. With EXTRA, one site allocates so many blocks more, for a comparison. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *volatile kept[64];
static int used;

static __attribute__((noinline)) void keep(size_t bytes)
{
	kept[used++] = malloc(bytes);
}

/* 7 blocks never freed. */
static __attribute__((noinline)) void leaks(void)
{
	for (int i = 0; i < 7; i++)
		keep(1100);
}

/* 5 blocks live at the peak and freed after it. */
static __attribute__((noinline)) void peaks(void)
{
	void *volatile blocks[5];

	for (int i = 0; i < 5; i++)
		blocks[i] = malloc(30000);
	for (int i = 0; i < 5; i++)
		free(blocks[i]);
}

/* 23 blocks, each freed before the next. */
static __attribute__((noinline)) void churns(void)
{
	for (int i = 0; i < 23; i++) {
		void *volatile block = malloc(210);

		free(block);
	}
}

/* One block, moved or grown 3 times, and cleared ones. */
static __attribute__((noinline)) void grows(void)
{
	void *volatile block = calloc(3, 17);

	for (size_t bytes = 500; bytes <= 1500; bytes += 500)
		block = realloc(block, bytes);
	kept[used++] = block;
	free(realloc(NULL, 90));
}

int main(int argc, char **argv)
{
	leaks();
	peaks();
	churns();
	grows();
	for (int i = argc > 1 ? atoi(argv[1]) : 0; i > 0; i--)
		keep(333);
	return 19;
}
