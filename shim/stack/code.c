#include "shim/stack/code.h"

#include <string.h>

#include "shim/stack/range.h"

#define CODE_RANGES 32 /* executable mappings that are remembered */
#define KEPT_BLOCKS 128
#define LOWEST_ADDRESS 65536 /* what programs may map at all (vm.mmap_min_addr) */

/* Mappings that were found to be executable, in no order. */
static struct code_range {
	uintptr_t start, end; /* start 0: an empty entry */
	bool constant;
} ranges[CODE_RANGES];
static unsigned ranges_used;
static uint32_t ranges_version; /* ht_stack_version then */
static uint32_t forgotten;	/* how often something was */

/* Blocks that stay, by address. Who finds one in the middle of being written does without it, which
 * may be for good where a handler left by a jump. */
static struct kept {
	uint32_t sequence; /* odd: being written */
	uint64_t version;
	uintptr_t start;
	uint64_t words[CODE_BLOCK_BYTES / sizeof(uint64_t)];
} kept_blocks[KEPT_BLOCKS];

/* What was read before this changed may be something else now. */
static uint64_t version_now(void)
{
	return (uint64_t)__atomic_load_n(&ht_stack_version, __ATOMIC_ACQUIRE) << 32 |
	       __atomic_load_n(&forgotten, __ATOMIC_ACQUIRE);
}

static unsigned range_count(void)
{
	unsigned used = __atomic_load_n(&ranges_used, __ATOMIC_RELAXED);

	return used < CODE_RANGES ? used : CODE_RANGES;
}

void ht_code_forget(uintptr_t start, uintptr_t end)
{
	bool any = false;

	for (unsigned i = 0; i < range_count(); i++) {
		uintptr_t from = __atomic_load_n(&ranges[i].start, __ATOMIC_RELAXED);

		if (from && from < end &&
		    __atomic_load_n(&ranges[i].end, __ATOMIC_RELAXED) > start) {
			__atomic_store_n(&ranges[i].start, 0, __ATOMIC_RELEASE);
			any = true;
		}
	}
	if (any)
		__atomic_fetch_add(&forgotten, 1, __ATOMIC_ACQ_REL);
}

static bool is_known(uintptr_t address, bool *ret_constant)
{
	for (unsigned i = 0; i < range_count(); i++) {
		uintptr_t start = __atomic_load_n(&ranges[i].start, __ATOMIC_ACQUIRE);
		uintptr_t end = __atomic_load_n(&ranges[i].end, __ATOMIC_ACQUIRE);

		*ret_constant = __atomic_load_n(&ranges[i].constant, __ATOMIC_ACQUIRE);
		if (start && address - start < end - start &&
		    __atomic_load_n(&ranges[i].start, __ATOMIC_RELAXED) == start)
			return true;
	}
	return false;
}

static void note(const struct stack_range *range, bool constant)
{
	unsigned turn = __atomic_fetch_add(&ranges_used, 1, __ATOMIC_RELAXED);
	struct code_range *entry = &ranges[turn % CODE_RANGES];

	__atomic_store_n(&entry->start, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&entry->end, range->end, __ATOMIC_RELEASE);
	__atomic_store_n(&entry->constant, constant, __ATOMIC_RELEASE);
	__atomic_store_n(&entry->start, range->start, __ATOMIC_RELEASE);
}

bool ht_code_is(uintptr_t address)
{
	uint32_t version = __atomic_load_n(&ht_stack_version, __ATOMIC_ACQUIRE);
	struct stack_range range;
	bool constant;

	if (__atomic_exchange_n(&ranges_version, version, __ATOMIC_ACQ_REL) != version)
		ht_code_forget(0, UINTPTR_MAX);
	if (is_known(address, &constant))
		return true;
	if (!ht_code_range_find(address, &range, &constant))
		return false;
	note(&range, constant);
	return true;
}

static void words_copy(uint64_t *to, const uint64_t *from)
{
	for (unsigned i = 0; i < CODE_BLOCK_BYTES / sizeof(*to); i++)
		__atomic_store_n(&to[i], __atomic_load_n(&from[i], __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
}

static struct kept *kept_place(uintptr_t start)
{
	return &kept_blocks[start / CODE_BLOCK_BYTES % KEPT_BLOCKS];
}

static bool kept_get(uint64_t version, struct code_block *block)
{
	struct kept *kept = kept_place(block->start);
	uint32_t sequence = __atomic_load_n(&kept->sequence, __ATOMIC_ACQUIRE);

	if (sequence & 1 || __atomic_load_n(&kept->start, __ATOMIC_RELAXED) != block->start ||
	    __atomic_load_n(&kept->version, __ATOMIC_RELAXED) != version)
		return false;
	words_copy(block->words, kept->words);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&kept->sequence, __ATOMIC_RELAXED) == sequence;
}

static void kept_put(uint64_t version, const struct code_block *block)
{
	struct kept *kept = kept_place(block->start);
	uint32_t sequence = __atomic_load_n(&kept->sequence, __ATOMIC_RELAXED);

	if (sequence & 1 || !__atomic_compare_exchange_n(&kept->sequence, &sequence, sequence + 1,
							 false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	__atomic_store_n(&kept->start, block->start, __ATOMIC_RELAXED);
	__atomic_store_n(&kept->version, version, __ATOMIC_RELAXED);
	words_copy(kept->words, block->words);
	__atomic_store_n(&kept->sequence, sequence + 2, __ATOMIC_RELEASE);
}

static void block_read(struct code_block *block, uintptr_t start)
{
	uint64_t version = version_now();
	bool constant;

	block->start = start;
	block->bytes = CODE_BLOCK_BYTES;
	if (kept_get(version, block))
		return;
	block->bytes = ht_stack_read(start, block->words, CODE_BLOCK_BYTES);
	if (block->bytes == CODE_BLOCK_BYTES && is_known(start, &constant) && constant &&
	    is_known(start + CODE_BLOCK_BYTES - 1, &constant))
		kept_put(version, block);
}

static const struct code_block *block_of(struct code_view *view, uintptr_t start)
{
	struct code_block *block;

	for (unsigned i = 0; i < CODE_BLOCKS; i++)
		if (view->blocks[i].start == start)
			return &view->blocks[i];
	block = &view->blocks[view->turn++ % CODE_BLOCKS];
	block_read(block, start);
	return block;
}

size_t ht_code_read(struct code_view *view, uintptr_t address, void *to, size_t bytes)
{
	size_t got = 0;

	if (address < LOWEST_ADDRESS)
		return 0;
	if (!view)
		return ht_stack_read(address, to, bytes);
	while (got < bytes) {
		uintptr_t from = address + got, offset = from % CODE_BLOCK_BYTES;
		const struct code_block *block = block_of(view, from - offset);
		size_t more = block->bytes > offset ? block->bytes - offset : 0;

		if (!more)
			break;
		more = more < bytes - got ? more : bytes - got;
		memcpy((uint8_t *)to + got, (const uint8_t *)block->words + offset, more);
		got += more;
	}
	return got;
}
