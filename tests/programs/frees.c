/*
 * Frees blocks in places it knows, and says which: one line a block, its size and the functions of
 * this file from the free outwards; "-" for a block that is still live at the end.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/programs/say.h"

#define APART __attribute__((noinline, noclone))

static APART void *allocate(size_t size)
{
	void *block = malloc(size);

	__asm__ volatile("" : : "r"(block) : "memory");
	return block;
}

/* Returns after the call, so that it is no jump. */
static APART void release(void *block)
{
	free(block);
	__asm__ volatile("" : : : "memory");
}

static APART void release_again(void *block)
{
	release(block);
	__asm__ volatile("" : : : "memory");
}

static inline __attribute__((always_inline)) void release_inlined(void *block)
{
	free(block);
	__asm__ volatile("" : : : "memory");
}

static APART void wraps(void *block)
{
	release_inlined(block);
	__asm__ volatile("" : : : "memory");
}

static APART void *moves(void *block, size_t size)
{
	void *moved = realloc(block, size);

	__asm__ volatile("" : : "r"(moved) : "memory");
	return moved;
}

static APART void *thread_start(void *block)
{
	release(block);
	return NULL;
}

static APART void elsewhere(void *block)
{
	pthread_t thread;

	pthread_create(&thread, NULL, thread_start, block);
	pthread_join(thread, NULL);
}

int main(void)
{
	void *block;

	for (size_t scale = 1; scale <= 1000; scale *= 1000) {
		size_t size = scale == 1 ? 7001 : 300001;

		say("%zu release main\n", size);
		release(allocate(size++));
		say("%zu release release_again main\n", size);
		release_again(allocate(size++));
		say("%zu release_inlined wraps main\n", size);
		wraps(allocate(size++));
		say("%zu release thread_start\n", size);
		elsewhere(allocate(size++));
		say("%zu moves main\n", size);
		block = moves(allocate(size++), 9000 * scale);
		say("%zu moves main\n", 9000 * scale);
		block = moves(block, 0);
		say("%zu -\n", size);
		block = allocate(size++);
	}
	say_write();
	return 0;
}
