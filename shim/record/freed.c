#include "shim/record/freed.h"

#include <string.h>
#include <sys/mman.h>

#include "shim/prim.h"
#include "shim/stack/range.h"
#include "shim/sys.h"

/* An address has its place in one of so many sets, the latest first. */
#define SET_BITS 13
#define SET_BLOCKS 8
#define FREED_BYTES ((sizeof(struct freed_block) * SET_BLOCKS) << SET_BITS)

struct freed_block *ht_freed;

static struct freed_block *set_of(uintptr_t address)
{
	return &ht_freed[(address * 0x9e3779b97f4a7c15ull >> (64 - SET_BITS)) * SET_BLOCKS];
}

static uint64_t sum(const struct freed_block *block)
{
	return (block->address ^ block->size_bytes << 20 ^ block->stacks) * 0xff51afd7ed558ccdull;
}

void ht_freed_init(void)
{
	void *pages = ht_freed ? NULL : ht_stack_pages(FREED_BYTES);

	if (!pages)
		return;
	if (prim_may(PRIM_MADVISE))
		sys_call3(SYS_madvise, pages, FREED_BYTES, MADV_WIPEONFORK);
	ht_freed = pages;
}

void ht_freed_add(uintptr_t address, size_t size_bytes, uint32_t allocated_stack,
		  uint32_t freed_stack)
{
	struct freed_block *set = set_of(address);
	struct freed_block block = { address, size_bytes,
				     (uint64_t)allocated_stack << 32 | freed_stack, 0 };
	unsigned last = 0;

	block.check = sum(&block);
	while (last < SET_BLOCKS - 1 && set[last].address != address)
		last++;
	memmove(set + 1, set, last * sizeof(*set));
	set[0] = block;
}

bool ht_freed_find(uintptr_t address, struct freed_block *ret)
{
	for (unsigned i = 0; ht_freed && address && i < SET_BLOCKS; i++) {
		*ret = set_of(address)[i];
		if (ret->address == address && ret->check == sum(ret))
			return true;
	}
	return false;
}
