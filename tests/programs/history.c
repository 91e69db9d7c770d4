/* One thread, every way to get and return a block; prints one row per event. */
#include <errno.h>

#include "tests/programs/say.h"

#define COUNT 700

static void *blocks[COUNT];
static size_t sizes[COUNT];

static void fail(const char *what)
{
	fprintf(stderr, "history: %s\n", what);
	_exit(98);
}

static void take(int i, size_t size)
{
	sizes[i] = size;
	blocks[i] = malloc_row(size);
	if (!blocks[i])
		fail("malloc");
	memset(blocks[i], i, size);
}

static void give(int i)
{
	free_row(blocks[i], sizes[i]);
	blocks[i] = NULL;
}

static void mallocs(void)
{
	for (int i = 0; i < COUNT; i++)
		take(i, (size_t)i * i / 7);
	for (int i = 0; i < COUNT; i += 2)
		give(i);
	for (int i = 0; i < COUNT; i += 2)
		take(i, (size_t)(COUNT - i) * 3);
	for (int i = COUNT - 1; i >= 0; i--)
		give(i);
	for (int i = 0; i < 40; i++)
		take(i, 1ul << (i % 24));
	for (int i = 0; i < 40; i++)
		give(i);
	take(0, 50ul << 20);
	take(1, (3ul << 20) + 1);
	give(0);
	give(1);
	free(NULL);
}

static void callocs(void)
{
	for (int i = 0; i < 30; i++) {
		sizes[i] = (size_t)i * (size_t)i * 37;
		blocks[i] = calloc((size_t)i, (size_t)i * 37);
		row("calloc", blocks[i], sizes[i], 0);
		for (size_t k = 0; k < sizes[i]; k++)
			if (((char *)blocks[i])[k])
				fail("calloc is not zero");
		memset(blocks[i], 0xa5, sizes[i]);
	}
	for (int i = 0; i < 30; i += 3)
		give(i);
	for (int i = 0; i < 30; i += 3) {
		sizes[i] = (size_t)i * 1000;
		blocks[i] = calloc(1000, (size_t)i);
		row("calloc", blocks[i], sizes[i], 0);
		for (size_t k = 0; k < sizes[i]; k++)
			if (((char *)blocks[i])[k])
				fail("calloc is not zero");
	}
	for (int i = 0; i < 30; i++)
		give(i);
}

static void reallocs(void)
{
	static const size_t steps[] = { 1,	 15,	  16,  17,    100,    1000,   999,
					5000,	 4000,	  200, 70000, 300000, 299999, 2 << 20,
					9 << 20, 1 << 20, 64,  10,    100000 };
	char *block = realloc_row(NULL, 8);
	size_t size = 8;

	memset(block, 0x5a, size);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		size_t kept = steps[i] < size ? steps[i] : size;

		block = realloc_row(block, steps[i]);
		for (size_t k = 0; k < kept; k++)
			if (block[k] != 0x5a)
				fail("realloc lost content");
		size = steps[i];
		memset(block, 0x5a, size);
	}
	/* Neighbours in the way: the block has to move. */
	for (int i = 0; i < 64; i++)
		take(i, 48);
	for (int i = 0; i < 64; i++) {
		sizes[i] = 48 + (size_t)i * 40;
		blocks[i] = realloc_row(blocks[i], sizes[i]);
	}
	for (int i = 0; i < 64; i++)
		give(i);
	blocks[0] = block;
	block = reallocarray(block, 1000, 20);
	row("realloc", block, 20000, (uintptr_t)blocks[0]);
	free_row(block, 20000);
}

static void aligned(void)
{
	int n = 0;

	for (size_t alignment = 8; alignment <= 1 << 16; alignment *= 2) {
		for (size_t size = 0; size < 300000; size = size * 5 + 24) {
			void *block = NULL;

			switch (n % 3) {
			case 0:
				block = memalign(alignment, size);
				break;
			case 1:
				block = aligned_alloc(alignment, size);
				break;
			case 2:
				if (posix_memalign(&block, alignment, size))
					fail("posix_memalign");
				break;
			}
			if (!block || (uintptr_t)block % alignment)
				fail("alignment");
			row("memalign", block, size, 0);
			memset(block, 1, size);
			blocks[n] = block;
			sizes[n++] = size;
		}
	}
	blocks[n] = valloc(100);
	sizes[n] = 100;
	row("memalign", blocks[n], 100, 0);
	if ((uintptr_t)blocks[n] % 4096)
		fail("valloc");
	n++;
	blocks[n] = pvalloc(100);
	sizes[n] = 4096;
	row("memalign", blocks[n], 4096, 0);
	if ((uintptr_t)blocks[n] % 4096)
		fail("pvalloc");
	n++;
	for (int i = 0; i < n; i += 2)
		give(i);
	for (int i = 1; i < n; i += 2) {
		uintptr_t old = (uintptr_t)blocks[i];

		sizes[i] += 1000;
		blocks[i] = realloc(blocks[i], sizes[i]);
		row("realloc", blocks[i], sizes[i], old);
	}
	for (int i = 1; i < n; i += 2)
		give(i);
}

static void refused(void)
{
	void *block = malloc_row(10);
	volatile size_t huge = (size_t)PTRDIFF_MAX + 1;

	errno = 0;
	if (malloc(huge) || errno != ENOMEM)
		fail("malloc of more than PTRDIFF_MAX");
	row("malloc", NULL, 0, 0);
	errno = 0;
	if (calloc(huge / 2, 8) || errno != ENOMEM)
		fail("calloc overflow");
	row("calloc", NULL, 0, 0);
	errno = 0;
	if (realloc(block, huge) || errno != ENOMEM)
		fail("realloc of more than PTRDIFF_MAX");
	row("realloc", NULL, 0, (uintptr_t)block);
	errno = 0;
	if (reallocarray(block, huge / 2, 8) || errno != ENOMEM)
		fail("reallocarray overflow");
	row("realloc", NULL, 0, (uintptr_t)block);
	if (memalign(64, huge))
		fail("memalign of more than PTRDIFF_MAX");
	row("memalign", NULL, 0, 0);
	if (pvalloc(SIZE_MAX))
		fail("pvalloc whose rounding overflows");
	row("memalign", NULL, 0, 0);
	free_row(block, 10);
	if (posix_memalign(&block, 3, 10) != EINVAL)
		fail("posix_memalign with a bad alignment");
}

static void zero_sizes(void)
{
	void *first = malloc_row(0);
	void *second = malloc_row(0);
	void *third = calloc(0, 10);

	row("calloc", third, 0, 0);
	if (!first || !second || !third || first == second || second == third)
		fail("zero sizes");
	free_row(first, 0);
	free_row(second, 0);
	/* As in glibc: realloc to nothing is free. */
	row("free", third, 0, 0);
	if (realloc(third, 0))
		fail("realloc to 0 returned a block");
}

static void through_libc(void)
{
	char *copy = strdup("of a string");

	row("malloc", copy, 12, 0);
	free_row(copy, 12);
	copy = strndup("of a string", 4);
	row("malloc", copy, 5, 0);
	free_row(copy, 5);
}

int main(void)
{
	malloc_usable_size(NULL);
	marker();
	mallocs();
	callocs();
	reallocs();
	aligned();
	refused();
	zero_sizes();
	through_libc();
	marker();
	say_write();
	return 0;
}
