/*
 * Goes on when there is no memory: every kind of request, small to huge, in several threads. What is
 * refused must be NULL with ENOMEM, and nothing else may change: all blocks keep their contents.
 * With "more", asks until it is refused. Prints 'intact'; how often it was refused goes to stderr.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 400
#define THREADS 3
#define KEPT 4711

struct slot {
	unsigned char *block;
	size_t bytes;
};

static bool until_refused;
static unsigned refused;

static void wrong(const char *what)
{
	fprintf(stderr, "pressure: %s\n", what);
	_exit(98);
}

static void fill(struct slot *slot)
{
	memset(slot->block, (int)(slot->bytes % 251), slot->bytes);
}

static void look(const struct slot *slot)
{
	for (size_t i = 0; i<slot->bytes; i += slot->bytes> 4096 ? 509 : 1)
		if (slot->block[i] != (unsigned char)(slot->bytes % 251))
			wrong("a block changed");
}

/* Counts a refusal; false: there is a block. */
static bool was_refused(const void *block, int expected_errno)
{
	if (block) {
		if (errno != KEPT)
			wrong("errno of a block that was given");
		return false;
	}
	if (errno != expected_errno)
		wrong("errno of a refusal");
	__atomic_fetch_add(&refused, 1, __ATOMIC_RELAXED);
	return true;
}

static void take(struct slot *slot, size_t bytes, unsigned kind)
{
	void *block = NULL;
	int error = 0;

	errno = KEPT;
	switch (kind % 5) {
	case 0:
		block = calloc(1, bytes);
		break;
	case 1:
		block = aligned_alloc(kind % 2 ? 64 : 8192, bytes);
		break;
	case 2:
		error = posix_memalign(&block, 256, bytes);
		if (error != (block ? 0 : ENOMEM))
			wrong("what posix_memalign returned");
		break;
	default:
		block = malloc(bytes);
		break;
	}
	if (was_refused(block, ENOMEM)) /* glibc sets errno in posix_memalign, too */
		return;
	if (kind % 5 == 0)
		for (size_t i = 0; i < bytes; i++)
			if (((unsigned char *)block)[i])
				wrong("calloc is not zero");
	*slot = (struct slot){ block, bytes };
	fill(slot);
}

static void give(struct slot *slot)
{
	if (!slot->block)
		return;
	look(slot);
	errno = KEPT;
	free(slot->block);
	if (errno != KEPT)
		wrong("free set errno");
	slot->block = NULL;
}

static void change(struct slot *slot, size_t bytes)
{
	unsigned char *block;

	errno = KEPT;
	block = realloc(slot->block, bytes);
	if (was_refused(block, ENOMEM)) {
		look(slot);
		return;
	}
	slot->block = block;
	for (size_t i = 0; i < slot->bytes && i < bytes; i += 101)
		if (block[i] != (unsigned char)(slot->bytes % 251))
			wrong("realloc lost contents");
	slot->bytes = bytes;
	fill(slot);
}

static size_t size_of(unsigned i)
{
	static const size_t sizes[] = { 24, 100, 500, 1500, 4000, 12000, 30000, 70000, 300000 };

	return sizes[i % 9] + i % 7;
}

static void *work(void *context)
{
	struct slot slots[SLOTS] = { { NULL, 0 } };
	unsigned number = (unsigned)(uintptr_t)context;

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < SLOTS; i++)
			if (!slots[i].block)
				take(&slots[i], size_of(i * (number + 1) + round), i + number);
		for (unsigned i = 0; i < SLOTS; i += 5)
			if (slots[i].block)
				change(&slots[i], size_of(i + round + number) * 2);
		for (unsigned i = round; i < SLOTS; i += 2)
			give(&slots[i]);
	}
	for (unsigned i = 0; i < SLOTS; i++)
		give(&slots[i]);
	return NULL;
}

/* Blocks with a mapping of their own, that grow and move. */
static void huge(void)
{
	struct slot slot = { NULL, 0 };

	for (size_t bytes = 40 << 20; bytes <= 70 << 20; bytes += 10 << 20) {
		errno = KEPT;
		unsigned char *block = realloc(slot.block, bytes);

		if (was_refused(block, ENOMEM))
			continue;
		if (slot.block && (block[0] != 1 || block[slot.bytes - 1] != 2))
			wrong("a huge block changed");
		slot = (struct slot){ block, bytes };
		block[0] = 1;
		block[bytes - 1] = 2;
	}
	free(slot.block);
	errno = KEPT;
	slot.block = memalign(4 << 20, 36 << 20);
	was_refused(slot.block, ENOMEM);
	free(slot.block);
}

/* As much as there is, and again after it was given back. Returns how many bytes that is. */
static size_t all_there_is(size_t bytes)
{
	void **first = NULL, **block;
	size_t before = 0, count = 0;

	for (unsigned round = 0; round < 3; round++) {
		for (count = 0;; count++) {
			errno = KEPT;
			block = malloc(bytes);
			if (was_refused(block, ENOMEM))
				break;
			*block = first;
			first = block;
		}
		if (round && count < before - before / 8)
			wrong("there is less every time");
		before = count;
		while (first) {
			block = first;
			first = *block;
			free(block);
		}
	}
	return count * bytes;
}

/* How large a block can be had right now. */
static size_t largest(void)
{
	size_t bytes = (size_t)1 << 34;
	void *block;

	while (errno = KEPT, block = malloc(bytes), was_refused(block, ENOMEM))
		bytes -= bytes / 8;
	free(block);
	return bytes;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	bool started[THREADS];
	pthread_attr_t small_stack;
	size_t at_first, all;

	until_refused = argc > 1 && !strcmp(argv[1], "more");
	/* libc keeps the stacks of threads that ended. */
	pthread_attr_init(&small_stack);
	pthread_attr_setstacksize(&small_stack, 65536);
	work((void *)3);
	for (uintptr_t i = 0; i < THREADS; i++)
		started[i] = pthread_create(&threads[i], &small_stack, work, (void *)i) == 0;
	for (unsigned i = 0; i < THREADS; i++)
		if (started[i])
			pthread_join(threads[i], NULL);
	huge();
	if (until_refused) {
		at_first = largest();
		all_there_is(100);
		all_there_is(5000);
		all_there_is(50000);
		all = all_there_is(1 << 20);
		/*
		 * Then as a block with a mapping of its own. Below what libc keeps of the threads that ended
		 * (their vectors, near the break as it was) lies free memory that no mapping can have.
		 */
		all_there_is(40 << 20);
		if (largest() + (16 << 20) < all - all / 8)
			wrong("free memory does not become a mapping");
		work((void *)4);
		/* What was freed in small pieces can be had in one. */
		if (largest() < at_first - at_first / 4)
			wrong("the memory is gone");
	}
	malloc_trim(0);
	fprintf(stderr, "refused %u\n", refused);
	puts("intact");
	return 0;
}
