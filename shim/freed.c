#include "shim/freed.h"

#include <sys/mman.h>

#include "shim/sys.h"
#include "shim/unwind.h"

#define FREED_BITS 16
#define FREED_BYTES (sizeof(struct freed_block) << FREED_BITS)

struct freed_block *ht_freed;

static struct freed_block *place_of(uintptr_t address)
{
	return &ht_freed[address * 0x9e3779b97f4a7c15ull >> (64 - FREED_BITS)];
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
	sys_call3(SYS_madvise, pages, FREED_BYTES, MADV_WIPEONFORK);
	ht_freed = pages;
}

void ht_freed_add(uintptr_t address, size_t size_bytes, uint32_t allocated_stack,
		  uint32_t freed_stack)
{
	struct freed_block block = { address, size_bytes,
				     (uint64_t)allocated_stack << 32 | freed_stack, 0 };

	block.check = sum(&block);
	*place_of(address) = block;
}

bool ht_freed_find(uintptr_t address, struct freed_block *ret)
{
	if (!ht_freed)
		return false;
	*ret = *place_of(address);
	return ret->address == address && address && ret->check == sum(ret);
}
