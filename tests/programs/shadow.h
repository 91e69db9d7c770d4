/* The program's side of tests/tools/shadow.h, for C and C++. */
#ifndef HEAPTAPE_TESTS_SHADOW_KEEP_H
#define HEAPTAPE_TESTS_SHADOW_KEEP_H

#include <fcntl.h>
#include <link.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/tools/shadow.h"

#ifdef __clang__
#define SHADOW_NOINLINE __attribute__((noinline))
#else
#define SHADOW_NOINLINE __attribute__((noinline, noclone, no_icf))
#endif
#define SHADOW_INLINE static inline __attribute__((always_inline))
#define SHADOW_KEEP __asm__ volatile("" ::: "memory")

struct shadow {
	struct shadow_file *file;
	uint32_t *hashed[SHADOW_LEVELS];
	uint32_t now[SHADOW_LEVELS];
	int level;
	int unsure; /* not 0: what runs may not be what is on the account */
};

static __thread struct shadow shadow;
static const char *shadow_folder;

static int shadow_object(struct dl_phdr_info *info, size_t bytes, void *user)
{
	struct shadow_file *file = (struct shadow_file *)user;

	(void)bytes;
	file->base = info->dlpi_addr;
	file->start = UINT64_MAX;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uint64_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type != PT_LOAD)
			continue;
		if (start < file->start)
			file->start = start;
		file->end = start + info->dlpi_phdr[i].p_memsz;
	}
	return 1;
}

#ifdef __cplusplus
extern "C"
#else
extern
#endif
	char _start[];

static SHADOW_NOINLINE uint32_t shadow_node(int level, uint32_t parent, uint64_t ret)
{
	const uint32_t most = 1u << SHADOW_LEVEL_BITS;
	struct shadow_file *file = shadow.file;
	uint32_t *hashed = shadow.hashed[level];
	uint32_t slot = (uint32_t)(((ret ^ (uint64_t)parent << 40) * 0x9e3779b97f4a7c15ull) >>
				   (63 - SHADOW_LEVEL_BITS));
	uint32_t number;

	for (; hashed[slot]; slot = (slot + 1) & (2 * most - 1)) {
		const struct shadow_node *node = &file->nodes[hashed[slot]];

		if (node->parent == parent && node->ret == ret)
			return hashed[slot];
	}
	number = file->nodes_used[level] + 1;
	if (number == most)
		_exit(97);
	file->nodes_used[level] = number;
	number |= (uint32_t)level << SHADOW_LEVEL_BITS;
	file->nodes[number].parent = parent;
	file->nodes[number].ret = ret;
	hashed[slot] = number;
	return number;
}

/* The node of `parent` called from `ret`. */
static SHADOW_NOINLINE uint32_t shadow_push(uint32_t parent, void *ret)
{
	uint64_t pc = (uint64_t)ret;

	if (pc < SHADOW_MARKS || pc - shadow.file->start < shadow.file->end - shadow.file->start)
		return pc ? shadow_node(shadow.level, parent, pc) : parent;
	if (parent && shadow.file->nodes[parent].ret == SHADOW_FOREIGN)
		return parent;
	return shadow_node(shadow.level, parent, SHADOW_FOREIGN);
}

SHADOW_INLINE uint32_t shadow_get(void)
{
	return shadow.now[shadow.level];
}

SHADOW_INLINE void shadow_set(uint32_t node)
{
	shadow.now[shadow.level] = node;
	SHADOW_KEEP;
}

SHADOW_INLINE void shadow_mark(enum shadow_mark mark)
{
	shadow_set(shadow_push(shadow_get(), (void *)(uintptr_t)mark));
}

/* Around a jump or a switch to another stack; the second on the other side, where the account has
 * to be set first. */
SHADOW_INLINE void shadow_unsure(void)
{
	shadow.unsure = 1;
	SHADOW_KEEP;
}

SHADOW_INLINE void shadow_sure(uint32_t node)
{
	shadow_set(node);
	shadow.unsure = 0;
	SHADOW_KEEP;
}

/* First and last of every function that is on the account. */
#define SHADOW_ENTER()                              \
	const uint32_t shadow_outer = shadow_get(); \
	shadow_set(shadow_push(shadow_outer, __builtin_return_address(0)))
#define SHADOW_LEAVE()                    \
	do {                              \
		SHADOW_KEEP;              \
		shadow_set(shadow_outer); \
	} while (0)

/* Before an allocation: the size to ask for. */
static SHADOW_NOINLINE size_t shadow_note(uint32_t node, unsigned site)
{
	uint32_t number = __atomic_fetch_add(&shadow.file->notes_used, 1, __ATOMIC_RELAXED);

	if (number >= SHADOW_NOTES)
		_exit(98);
	shadow.file->notes[number] = node | (uint32_t)site << SHADOW_SITE_SHIFT;
	return SHADOW_BYTES + number % SHADOW_BYTES_STEPS;
}

/* In a handler: everything until the end is on a tree of its own. */
SHADOW_INLINE int shadow_signal_enter(void)
{
	uint32_t below = shadow.now[shadow.level];
	int unsure = shadow.unsure;

	shadow.level++;
	SHADOW_KEEP;
	shadow.unsure = 0;
	if (unsure)
		below = shadow_node(shadow.level, below, SHADOW_UNSURE);
	shadow_set(shadow_node(shadow.level, below, SHADOW_SIGNAL));
	return unsure;
}

SHADOW_INLINE void shadow_signal_leave(int unsure)
{
	shadow.unsure = unsure;
	shadow.level--;
	SHADOW_KEEP;
}

/* Each thread, before all else. */
static void shadow_begin(void)
{
	char path[512];
	void *at;
	int fd;

	snprintf(path, sizeof(path), "%s/%ld", shadow_folder, (long)syscall(SYS_gettid));
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(struct shadow_file)) < 0)
		_exit(96);
	at = mmap(NULL, sizeof(struct shadow_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		_exit(96);
	close(fd);
	shadow.file = (struct shadow_file *)at;
	dl_iterate_phdr(shadow_object, shadow.file);
	shadow.file->entry = (uint64_t)_start;
	for (int level = 0; level < SHADOW_LEVELS; level++) {
		at = mmap(NULL, sizeof(uint32_t) << (SHADOW_LEVEL_BITS + 1), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (at == MAP_FAILED)
			_exit(96);
		shadow.hashed[level] = (uint32_t *)at;
	}
}

#endif
