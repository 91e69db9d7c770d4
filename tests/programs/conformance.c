/*
 * Every function of malloc's family and of the page calls against C23, POSIX and glibc's manual.
 * One row of a table is one check; prints each that fails and 'N ok, N failed'.
 *
 *   conformance           everything
 *   conformance plain     what glibc keeps of it: to compare with a run without the shim
 *   conformance info      only malloc_info(0, stdout), for a parser
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What is refused and what becomes of the old block then is the question. */
#pragma GCC diagnostic ignored "-Wuse-after-free"
#pragma GCC diagnostic ignored "-Walloc-size-larger-than="
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define PAGE ((size_t)4096)
#define MIB ((size_t)1 << 20)
#define KEPT 4711 /* an errno that nothing sets */

static bool plain;
static unsigned ok, failed;

/* One check on what the functions above it did; `detail` says with what. */
static void judge(bool holds, const char *function, const char *says, size_t detail)
{
	if (holds) {
		ok++;
		return;
	}
	failed++;
	printf("FAILED %s: %s (%zu)\n", function, says, detail);
}

/* A name that not every C library has. */
static void *optional(const char *name)
{
	void *found = dlsym(RTLD_DEFAULT, name);

	if (!found && !plain)
		judge(false, name, "is there", 0);
	return found;
}

/* Ways to get a block */

struct maker {
	const char *name;
	void *(*take)(const struct maker *maker, size_t alignment, size_t bytes);
	size_t alignment; /* 0: as asked for */
	bool zeroed;
	const char *twin; /* reached by this name */
};

static void *by_malloc(const struct maker *maker, size_t alignment, size_t bytes)
{
	(void)maker, (void)alignment;
	return malloc(bytes);
}

static void *by_calloc(const struct maker *maker, size_t alignment, size_t bytes)
{
	(void)maker, (void)alignment;
	return calloc(1, bytes);
}

static void *by_calloc_bytes(const struct maker *maker, size_t alignment, size_t bytes)
{
	(void)maker, (void)alignment;
	return calloc(bytes, 1);
}

static void *by_realloc(const struct maker *maker, size_t alignment, size_t bytes)
{
	(void)maker, (void)alignment;
	return realloc(NULL, bytes);
}

static void *by_reallocarray(const struct maker *maker, size_t alignment, size_t bytes)
{
	(void)maker, (void)alignment;
	return reallocarray(NULL, bytes, 1);
}

static void *by_growing(const struct maker *maker, size_t alignment, size_t bytes)
{
	void *block = malloc(24), *grown = bytes ? realloc(block, bytes) : NULL;

	(void)maker, (void)alignment;
	if (!grown) {
		free(block);
		return bytes ? NULL : malloc(0);
	}
	return grown;
}

static void *by_memalign(const struct maker *maker, size_t alignment, size_t bytes)
{
	(void)maker;
	return memalign(alignment, bytes);
}

static void *by_aligned_alloc(const struct maker *maker, size_t alignment, size_t bytes)
{
	(void)maker;
	return aligned_alloc(alignment, bytes);
}

static void *by_posix_memalign(const struct maker *maker, size_t alignment, size_t bytes)
{
	void *block = NULL;

	(void)maker;
	return posix_memalign(&block, alignment, bytes) == 0 ? block : NULL;
}

static void *by_valloc(const struct maker *maker, size_t alignment, size_t bytes)
{
	(void)maker, (void)alignment;
	return valloc(bytes);
}

static void *by_pvalloc(const struct maker *maker, size_t alignment, size_t bytes)
{
	(void)maker, (void)alignment;
	return pvalloc(bytes);
}

static void *by_twin(const struct maker *maker, size_t alignment, size_t bytes)
{
	void *(*twin)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, maker->twin);

	(void)alignment;
	return twin(bytes);
}

static void *by_twin_of_two(const struct maker *maker, size_t alignment, size_t bytes)
{
	void *(*twin)(size_t, size_t) = (void *(*)(size_t, size_t))dlsym(RTLD_DEFAULT, maker->twin);

	return twin(maker->zeroed ? 1 : alignment, bytes);
}

static void *by_twin_of_realloc(const struct maker *maker, size_t alignment, size_t bytes)
{
	void *(*twin)(void *, size_t) = (void *(*)(void *, size_t))dlsym(RTLD_DEFAULT, maker->twin);

	(void)alignment;
	return twin(NULL, bytes);
}

static const struct maker makers[] = {
	{ "malloc", by_malloc, 16, false, NULL },
	{ "calloc(1, n)", by_calloc, 16, true, NULL },
	{ "calloc(n, 1)", by_calloc_bytes, 16, true, NULL },
	{ "realloc(NULL)", by_realloc, 16, false, NULL },
	{ "realloc", by_growing, 16, false, NULL },
	{ "reallocarray", by_reallocarray, 16, false, NULL },
	{ "memalign", by_memalign, 0, false, NULL },
	{ "aligned_alloc", by_aligned_alloc, 0, false, NULL },
	{ "posix_memalign", by_posix_memalign, 0, false, NULL },
	{ "valloc", by_valloc, PAGE, false, NULL },
	{ "pvalloc", by_pvalloc, PAGE, false, NULL },
	{ "__libc_malloc", by_twin, 16, false, "__libc_malloc" },
	{ "__libc_calloc", by_twin_of_two, 16, true, "__libc_calloc" },
	{ "__libc_realloc", by_twin_of_realloc, 16, false, "__libc_realloc" },
	{ "__libc_memalign", by_twin_of_two, 0, false, "__libc_memalign" },
	{ "__libc_valloc", by_twin, PAGE, false, "__libc_valloc" },
	{ "__libc_pvalloc", by_twin, PAGE, false, "__libc_pvalloc" },
};

#define MAKERS (sizeof(makers) / sizeof(makers[0]))

static void free_keeping_errno(const char *function, void *block, size_t bytes)
{
	errno = KEPT;
	free(block);
	judge(errno == KEPT, function, "free leaves errno alone", bytes);
}

static bool all_are(const unsigned char *bytes, size_t count, unsigned char value)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i] != value)
			return false;
	return true;
}

/* A good request: what every block must be. */
static void one_block(const struct maker *maker, size_t alignment, size_t bytes)
{
	const char *name = maker->name;
	unsigned char *block, *other;
	size_t usable;

	errno = KEPT;
	block = maker->take(maker, alignment, bytes);
	judge(block != NULL, name, "gives a block", bytes);
	judge(errno == KEPT, name, "success leaves errno alone", bytes);
	if (!block)
		return;
	judge((uintptr_t)block % (maker->alignment ? maker->alignment : alignment) == 0, name,
	      "aligned as asked", alignment);
	judge((uintptr_t)block % 16 == 0 || alignment < 16, name, "aligned for any type", bytes);
	usable = malloc_usable_size(block);
	judge(usable >= bytes, name, "usable size holds the request", bytes);
	if (maker->zeroed)
		judge(all_are(block, bytes, 0), name, "zeroed", bytes);
	other = maker->take(maker, alignment, bytes);
	judge(other && (other >= block + usable || other + bytes <= block) && other != block, name,
	      "two blocks do not overlap", bytes);
	if (usable < 64 * MIB) {
		memset(block, 0xa5, usable);
		if (other) {
			memset(other, 0x5a, malloc_usable_size(other));
			judge(all_are(block, usable, 0xa5), name, "all of it can be written",
			      bytes);
		}
	}
	judge(malloc_usable_size(block) == usable, name, "usable size stays", bytes);
	free_keeping_errno(name, block, bytes);
	free_keeping_errno(name, other, bytes);
}

static void good_requests(void)
{
	static const size_t sizes[] = { 0,	1,	 7,	  8,	 15,	16,    17,
					24,	25,	 100,	  127,	 128,	129,   255,
					1000,	1023,	 1024,	  1025,	 2048,	4095,  4096,
					4097,	10000,	 32767,	  32768, 32769, 65536, 100000,
					131072, 1000000, 40 * MIB };

	for (size_t i = 0; i < MAKERS; i++)
		for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
			one_block(&makers[i], 16, sizes[k]);
}

static void alignments(void)
{
	for (size_t i = 0; i < MAKERS; i++) {
		if (makers[i].alignment)
			continue;
		for (size_t alignment = 8; alignment <= 1024 * MIB; alignment *= 2) {
			one_block(&makers[i], alignment, 0);
			one_block(&makers[i], alignment, 1);
			one_block(&makers[i], alignment, 40);
			if (alignment > 64 * MIB)
				continue;
			one_block(&makers[i], alignment, alignment - 1);
			one_block(&makers[i], alignment, alignment);
			one_block(&makers[i], alignment, alignment + 1);
		}
	}
}

/* Requests that cannot be met, and what they leave behind. */
static void refused_requests(void)
{
	static const size_t sizes[] = { PTRDIFF_MAX,	 (size_t)PTRDIFF_MAX + 1, SIZE_MAX,
					SIZE_MAX - 1,	 SIZE_MAX - 15,		  SIZE_MAX - 4095,
					SIZE_MAX - 4096, SIZE_MAX / 2 - 4095,	  (size_t)1 << 62,
					(size_t)1 << 56, (size_t)1 << 48 };

	for (size_t i = 0; i < MAKERS; i++)
		for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			errno = KEPT;
			judge(!makers[i].take(&makers[i], 64, sizes[k]), makers[i].name,
			      "more than there can be is refused", sizes[k]);
			judge(errno == ENOMEM, makers[i].name, "errno after a refusal", sizes[k]);
		}
	/* Met or refused, as the system likes. */
	for (size_t i = 0; i < MAKERS; i++)
		for (unsigned shift = 31; shift <= 44; shift++) {
			void *block;

			if (makers[i].zeroed) /* glibc clears it, whatever its size */
				continue;
			errno = KEPT;
			block = makers[i].take(&makers[i], 16, (size_t)1 << shift);
			judge(errno == (block ? KEPT : ENOMEM), makers[i].name,
			      "errno of a large request", shift);
			if (block)
				((char *)block)[((size_t)1 << shift) - 1] = 1;
			free_keeping_errno(makers[i].name, block, shift);
		}
}

/* calloc, realloc, reallocarray */

static void multiplications(void)
{
	static const struct {
		size_t count, bytes;
	} overflows[] = { { SIZE_MAX, 2 },
			  { 2, SIZE_MAX },
			  { SIZE_MAX / 2 + 1, 2 },
			  { (size_t)1 << 32, (size_t)1 << 32 },
			  { ((size_t)1 << 32) + 1, (size_t)1 << 32 },
			  { SIZE_MAX / 3 + 1, 3 },
			  { SIZE_MAX / 8 + 2, 8 },
			  { SIZE_MAX, SIZE_MAX },
			  { PTRDIFF_MAX, 1 },
			  { PTRDIFF_MAX / 8 + 1, 8 } };
	char *block = malloc(100), *moved;

	memset(block, 7, 100);
	for (size_t i = 0; i < sizeof(overflows) / sizeof(overflows[0]); i++) {
		errno = KEPT;
		judge(!calloc(overflows[i].count, overflows[i].bytes), "calloc",
		      "a product that is too large is refused", i);
		judge(errno == ENOMEM, "calloc", "errno of an overflow", i);
		errno = KEPT;
		judge(!reallocarray(NULL, overflows[i].count, overflows[i].bytes), "reallocarray",
		      "a product that is too large is refused", i);
		judge(errno == ENOMEM, "reallocarray", "errno of an overflow", i);
		judge(!reallocarray(block, overflows[i].count, overflows[i].bytes), "reallocarray",
		      "an old block does not help", i);
		judge(all_are((unsigned char *)block, 100, 7), "reallocarray",
		      "a refusal leaves the block alone", i);
	}
	errno = KEPT;
	moved = reallocarray(block, 50, 40);
	judge(moved && errno == KEPT && all_are((unsigned char *)moved, 100, 7), "reallocarray",
	      "keeps the contents", 0);
	free(moved);
	errno = KEPT;
	block = calloc(0, 8);
	moved = calloc(8, 0);
	judge(block && moved && block != moved && errno == KEPT, "calloc",
	      "nothing at all is a block of its own", 0);
	free(block);
	free(moved);
}

/* What calloc gives is zero, wherever it lay before. */
static void zeroed_again(void)
{
	static const size_t sizes[] = { 24, 200, 5000, 70000, 300000, 3 * MIB, 50 * MIB };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned round = 0; round < 20; round++) {
			unsigned char *block = malloc(sizes[i]);

			memset(block, 0xff, malloc_usable_size(block));
			if (round % 3 == 0)
				block = realloc(block, sizes[i] / 2);
			free(block);
			block = calloc(sizes[i], 1);
			judge(all_are(block, sizes[i], 0), "calloc", "zero where others wrote",
			      sizes[i]);
			memset(block, 0xff, sizes[i]);
			free(block);
		}
}

static void reallocs(void)
{
	static const size_t steps[] = { 1,	  2,	    17,	    16,	     200,     199,
					5000,	  4999,	    33000,  32000,   70000,   500000,
					500001,	  1000000,  700000, 9 * MIB, 2 * MIB, 40 * MIB,
					33 * MIB, 60 * MIB, 100,    16,	     300000 };
	unsigned char *block, *moved;
	size_t bytes = 1;

	errno = KEPT;
	block = realloc(NULL, 0);
	judge(block && errno == KEPT, "realloc", "realloc(NULL, 0) is malloc(0)", 0);
	judge(realloc(block, 0) == NULL, "realloc", "realloc(block, 0) is free", 0);
	judge(errno == KEPT, "realloc", "realloc(block, 0) leaves errno alone", 0);
	block = malloc(3 * MIB);
	judge(realloc(block, 0) == NULL && errno == KEPT, "realloc",
	      "realloc(block, 0) of a large block", 0);
	judge(reallocarray(malloc(10), 0, 8) == NULL && errno == KEPT, "reallocarray",
	      "reallocarray(block, 0, n) is free", 0);

	block = malloc(1);
	block[0] = 0;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		size_t same = steps[i] < bytes ? steps[i] : bytes;

		memset(block, (int)i, bytes);
		errno = KEPT;
		moved = realloc(block, steps[i]);
		judge(moved && errno == KEPT, "realloc", "gives a block, errno untouched",
		      steps[i]);
		if (!moved)
			break;
		judge(all_are(moved, same, (unsigned char)i), "realloc", "keeps the contents",
		      steps[i]);
		judge((uintptr_t)moved % 16 == 0 && malloc_usable_size(moved) >= steps[i],
		      "realloc", "aligned and large enough", steps[i]);
		block = moved;
		bytes = steps[i];
		memset(block, 0xee, malloc_usable_size(block));
	}
	/* Up to the usable size a block need not move. */
	moved = realloc(block, malloc_usable_size(block));
	judge(moved == block, "realloc", "to the usable size stays where it is", 0);
	block = moved;
	memset(block, 0x77, bytes);
	errno = KEPT;
	judge(!realloc(block, PTRDIFF_MAX) && errno == ENOMEM, "realloc", "refused", 0);
	judge(!realloc(block, SIZE_MAX) && errno == ENOMEM, "realloc", "refused", 1);
	judge(all_are(block, bytes, 0x77), "realloc", "a refusal leaves the block alone", 0);
	free(block);
	for (size_t alignment = 32; alignment <= MIB; alignment *= 2) {
		block = memalign(alignment, alignment + 5);
		memset(block, 0x33, alignment + 5);
		block = realloc(block, 2 * alignment + 99);
		judge(all_are(block, alignment + 5, 0x33), "realloc",
		      "keeps an aligned block's contents", alignment);
		free(block);
	}
}

/* Alignments that are none */

static void bad_alignments(void)
{
	static const size_t bad[] = { 0, 1, 2, 3, 4, 7, 12, 24, 40, 4097, SIZE_MAX, SIZE_MAX - 7 };
	static char place;
	void *block;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		block = &place;
		errno = KEPT;
		judge(posix_memalign(&block, bad[i], 10) == EINVAL, "posix_memalign",
		      "EINVAL for a bad alignment", bad[i]);
		judge(block == &place && errno == KEPT, "posix_memalign",
		      "a refusal touches neither pointer nor errno", bad[i]);
		if (plain || (bad[i] && !(bad[i] & (bad[i] - 1))))
			continue;
		errno = KEPT;
		judge(!aligned_alloc(bad[i], 10) && errno == EINVAL, "aligned_alloc",
		      "EINVAL for a bad alignment", bad[i]);
	}
	block = &place;
	errno = KEPT;
	judge(posix_memalign(&block, 64, SIZE_MAX / 2) == ENOMEM && block == &place &&
		      errno == ENOMEM,
	      "posix_memalign", "ENOMEM is returned and in errno", 0);
	judge(posix_memalign(&block, (size_t)1 << 62, 1) == ENOMEM && block == &place,
	      "posix_memalign", "an alignment beyond all memory", 0);
	errno = KEPT;
	judge(!memalign(SIZE_MAX, 1) && errno == EINVAL, "memalign", "EINVAL for SIZE_MAX", 0);
	errno = KEPT;
	judge(!memalign((size_t)1 << 63, 1) && errno == ENOMEM, "memalign", "ENOMEM for 2^63", 0);
	/* memalign is older than the rule: it rounds up. */
	for (size_t i = 0; i < 10; i++) {
		errno = KEPT;
		block = memalign(bad[i], 10);
		judge(block && errno == KEPT && (uintptr_t)block % 16 == 0 &&
			      (bad[i] < 16 || (uintptr_t)block % (bad[i] > 4096 ? 8192
								  : bad[i] > 32 ? 64
										: 32) ==
						      0),
		      "memalign", "a bad alignment is rounded up", bad[i]);
		free(block);
	}
	block = aligned_alloc(64, 65);
	judge(block && (uintptr_t)block % 64 == 0, "aligned_alloc",
	      "the size need not be a multiple of the alignment", 65);
	free(block);
	block = pvalloc(1);
	judge(malloc_usable_size(block) >= PAGE, "pvalloc", "whole pages", 1);
	free(block);
	block = pvalloc(PAGE + 1);
	judge(malloc_usable_size(block) >= 2 * PAGE, "pvalloc", "whole pages", PAGE + 1);
	free(block);
}

/* free and its kin */

static void frees(void)
{
	void (*free_sized)(void *, size_t) = (void (*)(void *, size_t))optional("free_sized");
	void (*free_aligned_sized)(void *, size_t, size_t) =
		(void (*)(void *, size_t, size_t))optional("free_aligned_sized");
	void (*other_free[])(void *) = {
		(void (*)(void *))optional("cfree"),
		(void (*)(void *))optional("__libc_free"),
	};
	static const size_t sizes[] = { 0, 24, 5000, 100000, MIB, 40 * MIB };
	size_t before;

	errno = KEPT;
	free(NULL);
	judge(errno == KEPT, "free", "free(NULL) does nothing", 0);
	judge(malloc_usable_size(NULL) == 0 && errno == KEPT, "malloc_usable_size",
	      "nothing for NULL", 0);
	before = mallinfo2().uordblks;
	for (unsigned round = 0; round < 100; round++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			if (free_sized) {
				errno = KEPT;
				free_sized(malloc(sizes[i]), sizes[i]);
				judge(errno == KEPT, "free_sized", "errno", sizes[i]);
			}
			if (free_aligned_sized) {
				errno = KEPT;
				free_aligned_sized(aligned_alloc(64, sizes[i]), 64, sizes[i]);
				judge(errno == KEPT, "free_aligned_sized", "errno", sizes[i]);
			}
			for (size_t k = 0; k < 2; k++) {
				if (!other_free[k])
					continue;
				errno = KEPT;
				other_free[k](malloc(sizes[i]));
				judge(errno == KEPT, k ? "__libc_free" : "cfree", "errno",
				      sizes[i]);
			}
		}
	if (free_sized) {
		free_sized(NULL, 0);
		free_aligned_sized(NULL, 64, 0);
		judge(errno == KEPT, "free_sized", "NULL does nothing", 0);
	}
	judge(mallinfo2().uordblks < before + MIB, "free", "all of it is freed", 0);
}

/* What libc allocates is freed by free. */
static void through_libc(void)
{
	char *line = NULL, *text = NULL;
	size_t room = 0;
	FILE *file = tmpfile();

	text = strdup("a string");
	judge(malloc_usable_size(text) >= 9, "strdup", "its block is one of ours", 0);
	free(text);
	judge(asprintf(&text, "%0300d", 7) == 300 && malloc_usable_size(text) >= 301, "asprintf",
	      "its block is one of ours", 0);
	free(text);
	fprintf(file, "%04000d\n", 1);
	rewind(file);
	judge(getline(&line, &room, file) == 4001 && malloc_usable_size(line) >= 4002, "getline",
	      "its block is one of ours", 0);
	free(line);
	fclose(file);
	text = realpath("/", NULL);
	judge(text && !strcmp(text, "/"), "realpath", "its block is one of ours", 0);
	free(text);
}

/* Looking at the heap */

#define HELD 2000

static void numbers(void)
{
	static void *held[HELD];
	struct mallinfo2 before = mallinfo2(), now;
	struct mallinfo narrow;
	void *huge;

	judge(before.uordblks + before.fordblks == before.arena, "mallinfo2",
	      "used + free == arena", 0);
	for (size_t i = 0; i < HELD; i++)
		held[i] = malloc(1000);
	now = mallinfo2();
	judge(now.uordblks >= before.uordblks + HELD * 1000 &&
		      now.uordblks <= before.uordblks + HELD * 1100,
	      "mallinfo2", "what the program holds is in use", now.uordblks - before.uordblks);
	judge(now.uordblks + now.fordblks == now.arena, "mallinfo2", "used + free == arena", 1);
	judge(now.usmblks == 0, "mallinfo2", "usmblks is always 0", now.usmblks);
	narrow = mallinfo();
	judge((size_t)narrow.uordblks == now.uordblks && (size_t)narrow.arena == now.arena &&
		      (size_t)narrow.fordblks == now.fordblks &&
		      (size_t)narrow.hblks == now.hblks && (size_t)narrow.hblkhd == now.hblkhd,
	      "mallinfo", "says the same", 0);
	for (size_t i = 0; i < HELD; i += 2)
		free(held[i]);
	now = mallinfo2();
	judge(now.uordblks <= before.uordblks + HELD * 600, "mallinfo2",
	      "what was freed is not in use", now.uordblks - before.uordblks);
	judge(now.ordblks >= before.ordblks, "mallinfo2", "it counts as free blocks", now.ordblks);
	for (size_t i = 1; i < HELD; i += 2)
		free(held[i]);
	now = mallinfo2();
	judge(now.uordblks <= before.uordblks + 10000, "mallinfo2", "everything was freed",
	      now.uordblks - before.uordblks);
	judge(now.uordblks + now.fordblks == now.arena, "mallinfo2", "used + free == arena", 2);
	before = now;
	huge = malloc(64 * MIB);
	now = mallinfo2();
	judge(now.hblks == before.hblks + 1 && now.hblkhd >= before.hblkhd + 64 * MIB, "mallinfo2",
	      "a block with a mapping of its own", now.hblkhd - before.hblkhd);
	free(huge);
	now = mallinfo2();
	judge(now.hblks == before.hblks && now.hblkhd == before.hblkhd, "mallinfo2",
	      "it is gone after free", now.hblkhd);
}

static void statistics(void)
{
	char text[65536] = "";
	int keep_out = dup(1), keep_err = dup(2);
	FILE *out = tmpfile(), *err = tmpfile(), *stream;
	ssize_t from_out, from_err;
	size_t bytes, most_mmaps, most_mmap_bytes;
	int length = 0;
	char *xml;

	fflush(NULL);
	dup2(fileno(out), 1);
	dup2(fileno(err), 2);
	free(malloc(50 * MIB));
	errno = KEPT;
	malloc_stats();
	judge(errno == KEPT, "malloc_stats", "leaves errno alone", 0);
	fflush(NULL);
	dup2(keep_out, 1);
	dup2(keep_err, 2);
	from_out = pread(fileno(out), text, sizeof(text) - 1, 0);
	from_err = pread(fileno(err), text, sizeof(text) - 1, 0);
	judge(from_out == 0 && from_err > 0, "malloc_stats", "prints on stderr", (size_t)from_err);
	judge(sscanf(text,
		     "Arena 0: system bytes = %*u in use bytes = %*u Total (incl. mmap): "
		     "system bytes = %*u in use bytes = %*u max mmap regions = %zu max mmap "
		     "bytes = %zu%n",
		     &most_mmaps, &most_mmap_bytes, &length) == 2 &&
		      !strcmp(text + length, "\n"),
	      "malloc_stats", "prints glibc's lines", 0);
	judge(most_mmaps > 0 && most_mmap_bytes >= 50 * MIB, "malloc_stats",
	      "the most that was mapped at once", most_mmap_bytes);
	fclose(out);
	fclose(err);
	close(keep_out);
	close(keep_err);

	stream = open_memstream(&xml, &bytes);
	judge(malloc_info(0, stream) == 0, "malloc_info", "returns 0", 0);
	fclose(stream);
	judge(bytes > 0 && !strncmp(xml, "<malloc version=\"1\">", 20) &&
		      strstr(xml, "<heap nr=\"0\">") && strstr(xml, "</malloc>\n"),
	      "malloc_info", "prints an element", bytes);
	free(xml);
	stream = open_memstream(&xml, &bytes);
	judge(malloc_info(1, stream) != 0, "malloc_info", "knows no options", 0);
	fclose(stream);
	judge(bytes == 0, "malloc_info", "then prints nothing", bytes);
	free(xml);
}

/* Advice */

static void advice(void)
{
	static const struct {
		int option, value, accepted;
	} options[] = { { M_MXFAST, 64, 1 },	   { M_MXFAST, 0, 1 },
			{ M_MXFAST, 1 << 20, 0 },  { M_TRIM_THRESHOLD, 1 << 20, 1 },
			{ M_TOP_PAD, 1 << 16, 1 }, { M_MMAP_THRESHOLD, 1 << 20, 1 },
			{ M_MMAP_MAX, 100, 1 },	   { M_CHECK_ACTION, 3, 1 },
			{ M_PERTURB, 0, 1 },	   { M_ARENA_TEST, 2, 1 },
			{ M_ARENA_MAX, 1, 1 } };
	void *large;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		errno = KEPT;
		judge(mallopt(options[i].option, options[i].value) == options[i].accepted &&
			      errno == KEPT,
		      "mallopt", "accepts what glibc accepts", i);
	}
	for (unsigned i = 0; i < 3; i++) {
		large = malloc(900000);
		memset(large, 1, 900000);
		free(large);
	}
	errno = KEPT;
	judge(malloc_trim(0) == 1 && errno == KEPT, "malloc_trim", "1: pages were given back", 0);
	if (!plain)
		judge(malloc_trim(0) == 0 && errno == KEPT, "malloc_trim", "0: nothing to give", 0);
}

/* The break */

static char *early; /* allocated before the program moved the break */

static void the_break(void)
{
	unsigned char *blocks[200], *mine, *top;
	bool intact = true;

	errno = KEPT;
	top = sbrk(0);
	judge(top != (void *)-1 && sbrk(0) == top && errno == KEPT, "sbrk",
	      "sbrk(0) says where the break is", 0);
	if (!plain) {
		judge(brk(early) == -1 && errno == ENOMEM && sbrk(0) == top, "brk",
		      "the allocator's pages are not the program's", 0);
		errno = KEPT;
		judge(sbrk(early - (char *)top) == (void *)-1 && errno == ENOMEM, "sbrk",
		      "the allocator's pages are not the program's", 0);
	}
	errno = KEPT;
	mine = sbrk(3 * PAGE);
	judge(mine == top && errno == KEPT, "sbrk", "returns the old break", 0);
	judge(sbrk(0) == top + 3 * PAGE, "sbrk", "moves the break", 0);
	judge(all_are(mine, 3 * PAGE, 0), "sbrk", "new memory is zero", 0);
	memset(mine, 0x42, 3 * PAGE);
	for (size_t i = 0; i < 200; i++) {
		blocks[i] = malloc(i * 50);
		memset(blocks[i], (int)i, i * 50);
		judge(blocks[i] + i * 50 <= mine || blocks[i] >= mine + 3 * PAGE, "malloc",
		      "no block lies in what the program got from sbrk", i);
		if (!plain)
			judge(sbrk(0) == mine + 3 * PAGE, "sbrk",
			      "malloc leaves a break that the program moved alone", i);
	}
	judge(all_are(mine, 3 * PAGE, 0x42), "sbrk", "malloc leaves the program's memory alone", 0);
	if (!plain) {
		judge(brk(mine + PAGE) == 0 && sbrk(0) == mine + PAGE, "brk", "moves the break", 0);
		judge(sbrk(100) == mine + PAGE && sbrk(-100) == mine + PAGE + 100, "sbrk",
		      "moves by bytes", 100);
		judge(all_are(mine, PAGE, 0x42), "brk", "what is below stays", 0);
		judge(sbrk(-(intptr_t)PAGE) == mine + PAGE && sbrk(0) == mine, "sbrk",
		      "gives back what it got", 0);
	}
	for (size_t i = 0; i < 200; i++) {
		intact = intact && all_are(blocks[i], i * 50, (unsigned char)i);
		free(blocks[i]);
	}
	judge(intact, "sbrk", "blocks stay intact", 0);
	top = sbrk(0);
	errno = KEPT;
	judge(sbrk(PTRDIFF_MAX) == (void *)-1 && errno == ENOMEM, "sbrk", "ENOMEM", 0);
	errno = KEPT;
	judge(brk((void *)(UINTPTR_MAX - PAGE)) == -1 && errno == ENOMEM, "brk", "ENOMEM", 0);
	errno = KEPT;
	judge(brk(NULL) == 0 && errno == KEPT && sbrk(0) == top, "brk",
	      "below the heap nothing happens", 0);
}

/* Mappings: errors come through as the system gives them. */

static void mappings(void)
{
	const int rw = PROT_READ | PROT_WRITE, anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
	char *map, *moved, *more;

	errno = KEPT;
	map = mmap(NULL, 8 * PAGE, rw, anonymous, -1, 0);
	judge(map != MAP_FAILED && errno == KEPT, "mmap", "gives pages", 0);
	memset(map, 3, 8 * PAGE);
	errno = KEPT;
	judge(mmap(NULL, 0, rw, anonymous, -1, 0) == MAP_FAILED && errno == EINVAL, "mmap",
	      "EINVAL for no bytes", 0);
	errno = KEPT;
	judge(mmap(NULL, PAGE, rw, MAP_PRIVATE, 999, 0) == MAP_FAILED && errno == EBADF, "mmap",
	      "EBADF for a descriptor that is none", 0);
	errno = KEPT;
	judge(mmap(NULL, PAGE, rw, anonymous, -1, 1) == MAP_FAILED && errno == EINVAL, "mmap",
	      "EINVAL for an odd offset", 0);
	errno = KEPT;
	judge(mmap(NULL, SIZE_MAX / 2, rw, anonymous, -1, 0) == MAP_FAILED && errno == ENOMEM,
	      "mmap", "ENOMEM", 0);
	errno = KEPT;
	judge(mmap(map + 1, PAGE, rw, anonymous | MAP_FIXED, -1, 0) == MAP_FAILED &&
		      errno == EINVAL,
	      "mmap", "EINVAL for an odd address", 0);
	errno = KEPT;
	judge(mmap(map, PAGE, rw, anonymous | MAP_FIXED, -1, 0) == map && errno == KEPT &&
		      map[0] == 0 && map[PAGE] == 3,
	      "mmap", "MAP_FIXED replaces", 0);
	errno = KEPT;
	more = mmap64(NULL, PAGE, rw, anonymous, -1, 0);
	judge(more != MAP_FAILED && errno == KEPT && munmap(more, PAGE) == 0, "mmap64",
	      "gives pages", 0);
	errno = KEPT;
	judge(mmap64(NULL, PAGE, rw, MAP_PRIVATE, 999, 0) == MAP_FAILED && errno == EBADF, "mmap64",
	      "EBADF", 0);
	errno = KEPT;
	judge(munmap(map + 1, PAGE) == -1 && errno == EINVAL, "munmap", "EINVAL for an odd address",
	      0);
	errno = KEPT;
	judge(munmap(map, 0) == -1 && errno == EINVAL, "munmap", "EINVAL for no bytes", 0);
	errno = KEPT;
	judge(munmap(map, SIZE_MAX) == -1 && errno == EINVAL, "munmap", "EINVAL for too many", 0);
	errno = KEPT;
	moved = mremap(map, 8 * PAGE, 800 * PAGE, MREMAP_MAYMOVE);
	judge(moved != MAP_FAILED && errno == KEPT && moved[8 * PAGE - 1] == 3 &&
		      moved[8 * PAGE] == 0,
	      "mremap", "moves", 0);
	more = mmap(NULL, 900 * PAGE, rw, anonymous, -1, 0);
	map = mremap(moved, 800 * PAGE, 800 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, more);
	judge(map == more && map[8 * PAGE - 1] == 3 && errno == KEPT, "mremap",
	      "moves where it is told", 0);
	errno = KEPT;
	judge(mremap(map, 900 * PAGE, 1 << 30, 0) == MAP_FAILED && errno != KEPT, "mremap",
	      "an error when it cannot grow where it is", 0);
	errno = KEPT;
	judge(mremap(map + 1, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL,
	      "mremap", "EINVAL for an odd address", 0);
	errno = KEPT;
	judge(madvise(map, PAGE, MADV_DONTNEED) == 0 && errno == KEPT && map[0] == 0, "madvise",
	      "MADV_DONTNEED drops", 0);
	errno = KEPT;
	judge(madvise(map, PAGE, 12345) == -1 && errno == EINVAL, "madvise",
	      "EINVAL for what is no advice", 0);
	errno = KEPT;
	judge(madvise(map + 1, PAGE, MADV_NORMAL) == -1 && errno == EINVAL, "madvise",
	      "EINVAL for an odd address", 0);
	errno = KEPT;
	judge(munmap(map, 900 * PAGE) == 0 && errno == KEPT, "munmap", "takes pages away", 0);
	judge(madvise(map, PAGE, MADV_NORMAL) == -1 && errno == ENOMEM, "madvise",
	      "ENOMEM where nothing is mapped", 0);
	errno = KEPT;
	judge(mremap(map, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT,
	      "mremap", "EFAULT where nothing is mapped", 0);
	errno = KEPT;
	judge(munmap(map, PAGE) == 0 && errno == KEPT, "munmap", "nothing there is no error", 0);
}

int main(int argc, char **argv)
{
	static void (*const chapters[])(void) = {
		the_break,    good_requests, alignments, refused_requests, multiplications,
		zeroed_again, reallocs,	     frees,	 bad_alignments,   through_libc,
		numbers,      statistics,    advice,	 mappings,	   the_break,
	};
	void *keep[50];

	for (size_t i = 0; i < 50; i++)
		keep[i] = malloc(i * 300);
	if (argc > 1 && !strcmp(argv[1], "info"))
		return malloc_info(0, stdout);
	early = keep[1];
	plain = argc > 1 && !strcmp(argv[1], "plain");
	for (size_t i = 0; i < sizeof(chapters) / sizeof(chapters[0]); i++)
		chapters[i]();
	for (size_t i = 0; i < 50; i++)
		free(keep[i]);
	printf("%u ok, %u failed\n", ok, failed);
	return failed > 0;
}
