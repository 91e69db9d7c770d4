#include "shim/emergency.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "shim/page_heap.h"
#include "shim/types.h"

#define RESERVE_BYTES ((size_t)256 << 10)

static char reserve[RESERVE_BYTES] __attribute__((aligned(4096)));

/* Blocks that are not freed << 32 | bytes used, in one word as several threads may be here. */
static uint64_t state;

struct head {
	struct block_meta meta;
	size_t bytes;
	size_t usable_bytes;
};

/* The record wants to know what pages blocks lie in. */
static void tell_pages(void)
{
	static uint32_t told;
	uint64_t details[2] = { RESERVE_BYTES, (uint64_t)(PROT_READ | PROT_WRITE) << 32 |
						       MAP_PRIVATE | MAP_ANONYMOUS };

	if (!__atomic_exchange_n(&told, 1, __ATOMIC_RELAXED))
		ht_record_pages(EVENT_MMAP | EVENT_BY_ALLOCATOR, (uintptr_t)reserve, details);
}

static struct head *head_of(const void *p)
{
	return (struct head *)(uintptr_t)p - 1;
}

void *ht_emergency_take(size_t size_bytes)
{
	uint64_t before = __atomic_load_n(&state, __ATOMIC_RELAXED), after;
	size_t bytes = (size_bytes + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN;
	struct head *head;

	if (likely(!ht_page_heap_held) || size_bytes > RESERVE_BYTES)
		return NULL;
	do {
		after = before + ((uint64_t)1 << 32) + sizeof(*head) + bytes;
		if ((uint32_t)after > RESERVE_BYTES)
			return NULL;
	} while (!__atomic_compare_exchange_n(&state, &before, after, false, __ATOMIC_ACQUIRE,
					      __ATOMIC_RELAXED));
	head = (struct head *)(void *)(reserve + (uint32_t)before);
	*head = (struct head){ .bytes = size_bytes, .usable_bytes = bytes };
	tell_pages();
	return memset(head + 1, 0, bytes);
}

bool ht_emergency_owns(const void *p)
{
	return (uintptr_t)p - (uintptr_t)reserve < RESERVE_BYTES;
}

size_t ht_emergency_bytes(const void *p)
{
	return head_of(p)->bytes;
}

size_t ht_emergency_usable(const void *p)
{
	return head_of(p)->usable_bytes;
}

struct block_meta *ht_emergency_meta(void *p)
{
	return &head_of(p)->meta;
}

void ht_emergency_free(void *p)
{
	uint64_t before = __atomic_load_n(&state, __ATOMIC_RELAXED), after;

	(void)p;
	do
		after = before >> 32 == 1 ? 0 : before - ((uint64_t)1 << 32);
	while (!__atomic_compare_exchange_n(&state, &before, after, false, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED));
}
