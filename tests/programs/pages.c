/*
 * The program's own page calls: prints kind,address,size,old_address,old_size per call, as events
 * has them.
 */
#include <sys/mman.h>

#include "tests/programs/say.h"

static void page_row(const char *kind, void *address, long size, void *old)
{
	say("%s,%lu,%ld,%lu\n", kind, (unsigned long)(uintptr_t)address, size,
	    (unsigned long)(uintptr_t)old);
}

int main(void)
{
	const size_t page = 4096;
	char *map, *moved, *before, *after;
	void *block;

	block = malloc(100);
	marker();
	map = mmap(NULL, 16 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	page_row("mmap", map, 16 * page, NULL);
	memset(map, 1, 16 * page);
	madvise(map, 4 * page, MADV_DONTNEED);
	page_row("madvise", map, 4 * page, NULL);
	munmap(map + 12 * page, 4 * page);
	page_row("munmap", map + 12 * page, 4 * page, NULL);
	moved = mremap(map, 12 * page, 400 * page, MREMAP_MAYMOVE);
	page_row("mremap", moved, 400 * page, map);
	munmap(moved, 400 * page);
	page_row("munmap", moved, 400 * page, NULL);

	before = sbrk(0);
	page_row("sbrk", before, 0, before);
	before = sbrk(3 * page);
	page_row("sbrk", before, 3 * page, before + 3 * page);
	memset(before, 7, 3 * page);
	/* The allocator grows above us; ours stays as it is. */
	for (int i = 0; i < 1000; i++)
		*(char *)malloc(1000) = 1;
	for (size_t i = 0; i < 3 * page; i++)
		if (before[i] != 7)
			_exit(97);
	after = sbrk(page);
	page_row("sbrk", after, page, after + page);
	if (brk(after + 3 * page))
		_exit(96);
	page_row("brk", after + page, 2 * page, after + 3 * page);
	if (sbrk(-(long)(3 * page)) != after + 3 * page)
		_exit(95);
	page_row("sbrk", after + 3 * page, -(long)(3 * page), after);
	free(block);
	marker();
	say_write();
	return 0;
}
