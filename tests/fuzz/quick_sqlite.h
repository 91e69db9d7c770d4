/*
 * SQLite behind a decoder that is fuzzed: with the sanitisers' malloc its own small pieces of memory
 * would take most of the time. They come out of a pool here, whose pieces are poisoned but for the
 * bytes that were asked for, so that what the code under test does with sqlite3_malloc() is still
 * watched; a leak of such memory is not noticed.
 */
#ifndef HEAPTAPE_TESTS_FUZZ_QUICK_SQLITE_H
#define HEAPTAPE_TESTS_FUZZ_QUICK_SQLITE_H

#include <sanitizer/asan_interface.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define QUICK_CLASSES 11u /* 32 bytes to 32 KiB */
#define QUICK_SLAB_BYTES (256u << 10)
/* It handles poisoned memory, and is not what is to be covered. */
#define QUICK_UNWATCHED __attribute__((no_sanitize("address", "undefined", "coverage")))

const char *__asan_default_options(void);

/* What was freed is kept from use for a while; with more of it the caches would hold nothing else. */
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=4";
}

/* Stands before each piece; poisoned, so that it is a red zone too. */
struct quick_head {
	struct quick_head *next; /* free */
	uint32_t class;		 /* QUICK_CLASSES: malloc's */
	int bytes;
};

_Static_assert(sizeof(struct quick_head) == 16, "pieces are aligned to 16 bytes");

static struct quick_head *quick_free[QUICK_CLASSES];
/* Each begins with a pointer to the one before: for the leak checker, which follows no poisoned ones. */
static uint8_t *quick_slabs;

QUICK_UNWATCHED static inline size_t quick_class_bytes(uint32_t class)
{
	return (size_t)32 << class;
}

/* Cuts new pieces. */
QUICK_UNWATCHED static void quick_fill(uint32_t class)
{
	size_t step = sizeof(struct quick_head) + quick_class_bytes(class);
	uint8_t *slab = malloc(QUICK_SLAB_BYTES);

	if (!slab)
		abort();
	memcpy(slab, &quick_slabs, sizeof(quick_slabs));
	quick_slabs = slab;
	ASAN_POISON_MEMORY_REGION(slab + 16, QUICK_SLAB_BYTES - 16);
	for (size_t at = 16; at + step <= QUICK_SLAB_BYTES; at += step) {
		struct quick_head *head = (struct quick_head *)(slab + at);

		head->next = quick_free[class];
		head->class = class;
		quick_free[class] = head;
	}
}

QUICK_UNWATCHED static void *quick_malloc(int bytes)
{
	struct quick_head *head;
	uint32_t class = 0;

	while (class < QUICK_CLASSES && quick_class_bytes(class) < (size_t)bytes)
		class ++;
	if (class == QUICK_CLASSES) {
		head = malloc(sizeof(*head) + (size_t)bytes);
		if (!head)
			return NULL;
		head->class = QUICK_CLASSES;
		head->bytes = bytes;
		return head + 1;
	}
	if (!quick_free[class])
		quick_fill(class);
	head = quick_free[class];
	quick_free[class] = head->next;
	head->bytes = bytes;
	ASAN_UNPOISON_MEMORY_REGION(head + 1, (size_t)bytes);
	return head + 1;
}

QUICK_UNWATCHED static void quick_release(void *piece)
{
	struct quick_head *head = (struct quick_head *)piece - 1;

	if (head->class == QUICK_CLASSES) {
		free(head);
		return;
	}
	ASAN_POISON_MEMORY_REGION(piece, (size_t)head->bytes);
	head->next = quick_free[head->class];
	quick_free[head->class] = head;
}

QUICK_UNWATCHED static int quick_size(void *piece)
{
	return ((struct quick_head *)piece - 1)->bytes;
}

QUICK_UNWATCHED static void *quick_realloc(void *piece, int bytes)
{
	void *other = quick_malloc(bytes);
	int before = quick_size(piece);

	if (!other)
		return NULL;
	memcpy(other, piece, (size_t)(before < bytes ? before : bytes));
	quick_release(piece);
	return other;
}

static int quick_roundup(int bytes)
{
	return (bytes + 7) & ~7;
}

static int quick_init(void *context)
{
	(void)context;
	return SQLITE_OK;
}

static void quick_shutdown(void *context)
{
	(void)context;
}

/* Before anything else of SQLite. */
static inline void quick_sqlite(void)
{
	static const sqlite3_mem_methods methods = { quick_malloc,   quick_release, quick_realloc,
						     quick_size,     quick_roundup, quick_init,
						     quick_shutdown, NULL };

	if (sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) != SQLITE_OK ||
	    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) != SQLITE_OK ||
	    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK)
		abort();
}

#endif
