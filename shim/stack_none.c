/* Stand-ins for a shim without call stacks. */
#include "shim/stack_table.h"
#include "shim/unwind.h"

#define WEAK __attribute__((weak))

WEAK uint32_t ht_stack_capture(uintptr_t pc, uintptr_t sp, uintptr_t fp)
{
	(void)pc, (void)sp, (void)fp;
	return 0;
}

WEAK void ht_stack_thread_end(void)
{
}

WEAK void ht_stack_unmapped(uintptr_t start, size_t bytes)
{
	(void)start, (void)bytes;
}

WEAK void ht_stacks_attach(struct ring_head *head, struct ring_node *nodes, unsigned depth)
{
	(void)head, (void)nodes, (void)depth;
}

WEAK void ht_stacks_detach(void)
{
}

WEAK bool ht_stacks_pending(void)
{
	return false;
}

WEAK void ht_stacks_send(void)
{
}
