/* Two functions call each other by chance, 20,000 deep, and each allocates: no two of the stacks are
 * alike, and most are deeper than what is recorded of one. */
#include <stdlib.h>

#define DEPTH 20000

static void *kept[64];
static unsigned seed = 1;

static int one(int left);
static int two(int left);

static __attribute__((noinline)) int go_on(int left)
{
	seed = seed * 1103515245 + 12345;
	return left ? (seed >> 16 & 1 ? one : two)(left - 1) : 0;
}

static __attribute__((noinline)) int one(int left)
{
	free(kept[left % 64]);
	kept[left % 64] = malloc(40);
	return go_on(left) + 1;
}

static __attribute__((noinline)) int two(int left)
{
	int sum;

	free(kept[left % 64]);
	kept[left % 64] = malloc(50);
	sum = go_on(left) + 2;
	free(malloc(60));
	return sum;
}

int main(void)
{
	return one(DEPTH) < DEPTH;
}
