/*
 * What depends on aarch64 besides the step itself (unwind_step.h), which follows frame records:
 * compilers keep them there by default, so rows are not needed to begin with.
 */
#if defined(__aarch64__)
#include <errno.h>

#include "shim/stack/unwind_slow.h"

void ht_unwind_own_regs(struct unwind_regs *ret)
{
	*ret = (struct unwind_regs){ .known = 0 };
}

bool ht_unwind_returning(const struct unwind_regs *regs, const struct stack_range *range,
			 struct code_view *code, struct unwind_regs *ret)
{
	(void)regs;
	(void)range;
	(void)code;
	(void)ret;
	return false;
}

bool ht_unwind_is_restorer(struct code_view *code, uintptr_t pc)
{
	(void)code;
	(void)pc;
	return false;
}

int ht_unwind_without_row(const struct unwind_regs *regs, const struct stack_range *range,
			  struct code_view *code, struct unwind_regs *ret,
			  const uintptr_t **ret_record)
{
	*ret_record = NULL;
	(void)regs;
	(void)range;
	(void)code;
	(void)ret;
	return -ENOENT;
}
#endif
