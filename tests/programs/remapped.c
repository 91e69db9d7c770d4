/*
 * Does to pages under live blocks what a program can do to pages: maps a file over them, unmaps,
 * moves, protects them. Frees the blocks, or has them moved, then looks at what it is given next: it
 * must be zero, writable, no two places of it the same, and no write to it may arrive in the file.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define MOST 16
#define HUGE ((size_t)34 << 20)

static int file;
static char *file_view;

/* Of a huge block not every page. */
static size_t step_of(size_t size)
{
	return size == HUGE ? 64 * PAGE : 64;
}

static void fill(char *block, size_t size, char value)
{
	for (size_t at = 0; at < size; at += step_of(size))
		block[at] = block[at | (PAGE - 64)] = value;
}

static void die(const char *what, const char *how, size_t size)
{
	printf("%s: %s of %zu\n", what, how, size);
	fflush(stdout);
	_exit(1);
}

static void ring(char *block, size_t size)
{
	for (size_t at = 0; at < size; at += size / 2)
		mmap(block + at, size / 2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
	block[0] = 'a';
	if (block[size / 2] != 'a')
		die("not a ring", "ring", size);
}

static void over_tail(char *block, size_t size)
{
	mmap(block + size - PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
}

static void read_only_file(char *block, size_t size)
{
	mmap(block, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0);
}

static void unmap_all(char *block, size_t size)
{
	munmap(block, size);
}

static void unmap_middle(char *block, size_t size)
{
	munmap(block + size / 2, PAGE);
}

/* Where the block was something else is found as it is freed, about which nobody was told. */
static void replace(char *block, size_t size)
{
	munmap(block, size);
	syscall(SYS_mmap, block + size - PAGE, PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	block[size - PAGE] = 'r';
}

static void map_then_unmap(char *block, size_t size)
{
	ring(block, size);
	munmap(block, size);
}

static void move_away(char *block, size_t size)
{
	munmap(mremap(block, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
		      mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
	       size);
}

static void move_over(char *block, size_t size)
{
	char *other = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	mremap(other, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, block);
}

static void bar_first(char *block, size_t size)
{
	(void)size;
	mprotect(block, PAGE, PROT_NONE);
}

static void bar_last(char *block, size_t size)
{
	mprotect(block + size - PAGE, PAGE, PROT_READ);
}

static void attach(char *block, size_t size)
{
	int id = shmget(IPC_PRIVATE, size, 0600 | IPC_CREAT);

	shmat(id, block, SHM_REMAP);
	shmctl(id, IPC_RMID, NULL);
	fill(block, size, 'a');
}

static void not_for_children(char *block, size_t size)
{
	madvise(block, size, MADV_DONTFORK);
}

static void empty_in_children(char *block, size_t size)
{
	madvise(block, size, MADV_WIPEONFORK);
}

static const struct way {
	const char *name;
	void (*alter)(char *block, size_t size);
} ways[] = {
	{ "ring", ring },
	{ "over_tail", over_tail },
	{ "read_only_file", read_only_file },
	{ "unmap_all", unmap_all },
	{ "replace", replace },
	{ "unmap_middle", unmap_middle },
	{ "map_then_unmap", map_then_unmap },
	{ "move_away", move_away },
	{ "move_over", move_over },
	{ "bar_first", bar_first },
	{ "bar_last", bar_last },
	{ "attach", attach },
	{ "not_for_children", not_for_children },
	{ "empty_in_children", empty_in_children },
};

static char *block_of(size_t size)
{
	void *block;

	if (posix_memalign(&block, PAGE, size))
		die("no memory", "memalign", size);
	return block;
}

static void look(const char *name, char **blocks, int count, size_t size)
{
	int status;

	for (int i = 0; i < count; i++)
		for (size_t at = 0; at < size; at += step_of(size))
			if (blocks[i][at])
				die("not zero", name, size);
	for (int i = 0; i < count; i++)
		for (size_t at = 0; at < size; at += size == HUGE ? step_of(size) : PAGE)
			*(size_t *)(void *)(blocks[i] + at) = (size_t)(blocks[i] + at);
	if (!fork()) {
		for (int i = 0; i < count; i++)
			for (size_t at = 0; at < size; at += size == HUGE ? step_of(size) : PAGE)
				if (*(size_t *)(void *)(blocks[i] + at) != (size_t)(blocks[i] + at))
					_exit(1);
		_exit(0);
	}
	wait(&status);
	if (status)
		die("not the same", name, size);
	for (size_t at = 0; at < size; at += size == HUGE ? step_of(size) : PAGE)
		if (file_view[at | (PAGE - 64)] != 'f')
			die("in the file", name, size);
}

/* Every other block is altered; those between must keep what is in them. */
static void once(const struct way *way, size_t size, int count)
{
	char *blocks[MOST], *between[MOST];

	fill(file_view, size, 'f');
	for (int i = 0; i < count; i++) {
		blocks[i] = block_of(size);
		fill(blocks[i], size, 'b');
		between[i] = block_of(size);
		fill(between[i], size, 'c');
	}
	for (int i = 0; i < count; i++)
		way->alter(blocks[i], size);
	for (int i = 0; i < count; i++) {
		free(blocks[i]);
		if (way->alter == replace && blocks[i][size - PAGE] != 'r')
			die("another's page", way->name, size);
	}
	for (int i = 0; i < count; i++)
		blocks[i] = calloc(2, size / 2);
	look(way->name, blocks, count, size);
	for (int i = 0; i < count; i++) {
		for (size_t at = 0; at < size; at += step_of(size))
			if (between[i][at] != 'c')
				die("a neighbour's", way->name, size);
		free(between[i]);
		free(blocks[i]);
	}
}

static void moved(const struct way *way, size_t size)
{
	char *block = block_of(size);
	bool kept = way->alter == over_tail || way->alter == bar_last || way->alter == bar_first;

	fill(file_view, size, 'f');
	fill(block, size, 'b');
	way->alter(block, size);
	block = realloc(block, size * 3);
	if (!block || (kept && block[0] != 'b'))
		die("realloc", way->name, size);
	block[size * 3 - 1] = 'd';
	free(block);
}

int main(void)
{
	static const size_t sizes[] = { PAGE * 2, PAGE * 4, PAGE * 8, 1 << 17, 1 << 20, HUGE };

	file = memfd_create("file", 0);
	if (file < 0 || ftruncate(file, HUGE))
		return 2;
	file_view = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++)
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			once(&ways[w], sizes[s], sizes[s] < 1 << 20 ? MOST : 2);
			if (ways[w].alter != unmap_all && ways[w].alter != replace &&
			    ways[w].alter != attach)
				moved(&ways[w], sizes[s]);
		}
	puts("intact");
	return 0;
}
