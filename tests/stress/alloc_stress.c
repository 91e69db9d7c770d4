/*
 * Random use of the whole malloc family by several threads, every byte of every block checked.
 *
 *   alloc_stress [THREADS [SECONDS [SEED [keep]]]]
 *
 * Run it under LD_PRELOAD=libheaptape.so, best of a DEBUG=1 build, whose invariant checker runs
 * along. Each block is filled with a pattern made of its address and a serial number and checked
 * before every change. Blocks wander between threads through a shared table; threads end and are
 * replaced with blocks still live; alignment, zeroed contents, errno and usable size are checked;
 * at random moments a thread forks while the others are inside malloc, and the child goes on for a
 * while with what it has; or a thread trims the heap, moves the break, looks at the heap, or takes a
 * block of an odd kind. Exits 1 at the first wrong byte.
 *
 * With `keep` what is in the shared table at the end stays live and is printed: address, size asked
 * for, usable size. Then every byte of standard input is one allocation and its free.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 3000
#define SHARED 4000
#define THREADS_MOST 256
#define FORK_ONE_IN 20000 /* steps */
#define SWING_STEPS 6000

struct shadow {
	unsigned char *block;
	size_t size, asked;
	unsigned char pattern;
};

static struct shadow shared[SHARED];
static pthread_mutex_t shared_locks[SHARED / 100];
static double end_time;
static uint64_t seed = 1;
static unsigned long long operations;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x * 0x2545f4914f6cdd1dull >> 11;
}

#define MUST(what)                                                                       \
	do {                                                                             \
		if (!(what)) {                                                           \
			fprintf(stderr, "alloc_stress: line %d: %s\n", __LINE__, #what); \
			_exit(1);                                                        \
		}                                                                        \
	} while (0)

static void check_bytes(const unsigned char *bytes, size_t size, unsigned char pattern)
{
	for (size_t i = 0; i < size; i++)
		MUST(bytes[i] == pattern);
}

static void fill(struct shadow *shadow, uint64_t *state)
{
	shadow->pattern = (unsigned char)((uintptr_t)shadow->block >> 4 ^ next_random(state));
	memset(shadow->block, shadow->pattern, shadow->size);
}

static size_t some_size(uint64_t *state)
{
	uint64_t r = next_random(state);

	switch (r % 32) {
	case 0:
		return 0;
	case 1 ... 20:
		return (r >> 8) % 256;
	case 21 ... 27:
		return (r >> 8) % 4096;
	case 28 ... 30:
		return (r >> 8) % 40000;
	default:
		return (r >> 8) % 16 == 0 ? (r >> 16) % 3000000 : (r >> 16) % 300000;
	}
}

static void take(struct shadow *shadow, uint64_t *state)
{
	uint64_t r = next_random(state);
	size_t size = some_size(state), alignment = 16;
	void *block = NULL;

	errno = 4711;
	switch (r % 8) {
	case 0:
		block = calloc(1, size);
		MUST(block);
		check_bytes(block, size, 0);
		break;
	case 1:
		alignment = (size_t)16 << (r >> 8) % 10;
		if (r >> 20 & 1)
			MUST(posix_memalign(&block, alignment, size) == 0);
		else
			block = memalign(alignment, size);
		break;
	case 2:
		block = realloc(NULL, size);
		break;
	default:
		block = malloc(size);
		break;
	}
	MUST(block);
	MUST(errno == 4711);
	MUST((uintptr_t)block % alignment == 0);
	MUST(malloc_usable_size(block) >= size);
	*shadow = (struct shadow){ .block = block, .size = size, .asked = size };
	if (r >> 30 & 1) /* all of it is ours to write */
		shadow->size = malloc_usable_size(block);
	fill(shadow, state);
}

static void drop(struct shadow *shadow)
{
	check_bytes(shadow->block, shadow->size, shadow->pattern);
	errno = 4712;
	free(shadow->block);
	MUST(errno == 4712);
	shadow->block = NULL;
}

static void change(struct shadow *shadow, uint64_t *state)
{
	size_t size = some_size(state), same;
	unsigned char *block;

	if (size == 0)
		size = 1;
	check_bytes(shadow->block, shadow->size, shadow->pattern);
	block = realloc(shadow->block, size);
	MUST(block);
	same = size < shadow->size ? size : shadow->size;
	check_bytes(block, same, shadow->pattern);
	shadow->block = block;
	shadow->size = shadow->asked = size;
	fill(shadow, state);
}

static void exchange(struct shadow *mine, uint64_t *state)
{
	size_t at = next_random(state) % SHARED;
	struct shadow other;

	pthread_mutex_lock(&shared_locks[at / 100]);
	other = shared[at];
	shared[at] = *mine;
	pthread_mutex_unlock(&shared_locks[at / 100]);
	*mine = other;
}

/* A block of an alignment or a size beyond what the slots have, there for a moment. */
static void odd_block(uint64_t *state)
{
	uint64_t r = next_random(state);
	size_t alignment = (size_t)4096 << r % 12, size = (r >> 8) % 2 ? (r >> 16) % 50000000 : 1;
	unsigned char *block = NULL;

	MUST(posix_memalign((void **)&block, alignment, size) == 0);
	MUST((uintptr_t)block % alignment == 0);
	size = malloc_usable_size(block);
	block[0] = block[size / 2] = block[size - 1] = (unsigned char)r;
	if (r >> 40 & 1) {
		block = realloc(block, size + size / 3);
		MUST(block && block[0] == (unsigned char)r && block[size - 1] == (unsigned char)r);
	}
	free(block);
}

/* What is rarely done while others allocate. */
static void rare(uint64_t *state)
{
	uint64_t r = next_random(state);
	struct mallinfo2 info;
	unsigned char *memory;

	switch (r % 8) {
	case 0:
		malloc_trim((r >> 8) % 2 ? 0 : 1000000);
		break;
	case 1:
		info = mallinfo2();
		MUST(info.uordblks + info.fordblks == info.arena);
		break;
	case 2:
		/* Once the program has moved the break, the heap lives without it: not too soon. */
		if ((r >> 8) % 16)
			break;
		memory = sbrk(4096);
		MUST(memory != (void *)-1);
		memset(memory, 0xdb, 4096);
		break;
	default:
		odd_block(state);
		break;
	}
}

static void step(struct shadow *slots, uint64_t *state, size_t live)
{
	struct shadow *slot = &slots[next_random(state) % live];
	uint64_t r = next_random(state) % 4096;

	if (r == 0)
		rare(state);
	else if (!slot->block)
		take(slot, state);
	else if (r < 2048)
		drop(slot);
	else if (r < 2560)
		change(slot, state);
	else if (r < 3584)
		exchange(slot, state);
}

#define CHILD_STEPS 3000

/* The other threads are wherever they happen to be; the child has this one only. */
static void fork_and_wait(struct shadow *slots, uint64_t *state)
{
	pid_t child;
	int status;

	/* But not inside one of these: the child would wait for it for ever. */
	for (size_t i = 0; i < SHARED / 100; i++)
		pthread_mutex_lock(&shared_locks[i]);
	child = fork();
	for (size_t i = 0; i < SHARED / 100; i++)
		pthread_mutex_unlock(&shared_locks[i]);
	MUST(child >= 0);
	if (child == 0) {
		*state ^= 0x5555;
		for (size_t i = 0; i < CHILD_STEPS; i++)
			step(slots, state, SLOTS);
		_exit(0);
	}
	while (waitpid(child, &status, 0) != child)
		MUST(errno == EINTR);
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* One life of a thread. What it leaves in its slots, it frees, or hands on in the shared table. */
static void *live_once(void *context)
{
	uint64_t state = seed * 0x9e3779b97f4a7c15ull + (uintptr_t)context * 7919 + 1;
	struct shadow *slots = calloc(SLOTS, sizeof(*slots));
	size_t steps = next_random(&state) % 60000, done = 0;

	MUST(slots);
	while (done < steps && ((done & 1023) || now() < end_time)) {
		/* The number of live blocks swings, so that spans fill up and empty. */
		size_t live = done / SWING_STEPS % 2 ? SLOTS : SLOTS / 10;

		if (done % SWING_STEPS == 0)
			for (size_t i = live; i < SLOTS; i++)
				if (slots[i].block)
					drop(&slots[i]);
		step(slots, &state, live);
		if (next_random(&state) % FORK_ONE_IN == 0)
			fork_and_wait(slots, &state);
		done++;
	}
	for (size_t i = 0; i < SLOTS; i++) {
		if (slots[i].block && i % 2)
			exchange(&slots[i], &state);
		if (slots[i].block)
			drop(&slots[i]);
	}
	free(slots);
	__atomic_fetch_add(&operations, done, __ATOMIC_RELAXED);
	return NULL;
}

static void drop_shared(void)
{
	for (size_t i = 0; i < SHARED; i++)
		if (shared[i].block)
			drop(&shared[i]);
}

static void print_kept(void)
{
	for (size_t i = 0; i < SHARED; i++)
		if (shared[i].block)
			printf("%lu,%zu,%zu\n", (unsigned long)(uintptr_t)shared[i].block,
			       shared[i].asked, malloc_usable_size(shared[i].block));
}

static void serve(void)
{
	char byte;

	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) == 1 && byte != 'q')
		free(malloc(100));
}

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 4;
	double seconds = argc > 2 ? strtod(argv[2], NULL) : 10;
	pthread_t threads[THREADS_MOST];
	uintptr_t lives = 0;
	bool keep = argc > 4;

	seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	if (count < 1 || count > THREADS_MOST)
		return 2;
	for (size_t i = 0; i < SHARED / 100; i++)
		pthread_mutex_init(&shared_locks[i], NULL);
	end_time = now() + seconds;
	for (size_t i = 0; i < count; i++)
		MUST(pthread_create(&threads[i], NULL, live_once, (void *)++lives) == 0);
	for (size_t i = 0; now() < end_time; i = (i + 1) % count) {
		pthread_join(threads[i], NULL);
		MUST(pthread_create(&threads[i], NULL, live_once, (void *)++lives) == 0);
	}
	for (size_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	if (keep)
		print_kept();
	else
		drop_shared();
	malloc_trim(0);
	printf("alloc_stress: %llu operations, %lu threads lived, nothing wrong\n", operations,
	       (unsigned long)lives);
	if (keep)
		serve();
	return 0;
}
