/* What depends on x86-64 besides the step itself: see unwind_slow.h. */
#if defined(__x86_64__)
#include <errno.h>
#include <stddef.h>

#include "shim/modules.h"
#include "shim/unwind_slow.h"

#define RED_ZONE_WORDS 32 /* how far above the entry stack pointer the linker's entry may be */

#define NEAR_BYTES ((uintptr_t)1 << 30)	  /* code made at run time lies together */
#define FP_FRAME_MAX ((uintptr_t)8 << 10) /* more than that is hardly one frame */

/* mov $SYS_rt_sigreturn, %rax; syscall */
#define RESTORER_WORD 0x0f0000000fc0c748ull
#define RESTORER_TAIL 0x05u

/* Offsets in the ucontext that the kernel puts behind the restorer's address. */
#define UCONTEXT_REGS 40

extern void *__libc_stack_end;

/* Stores the registers that calls preserve; pc and sp are those of the caller after the return. */
__asm__(".text\n"
	".p2align 4\n"
	".hidden ht_unwind_own_regs\n"
	".globl ht_unwind_own_regs\n"
	".type ht_unwind_own_regs, @function\n"
	"ht_unwind_own_regs:\n"
	".cfi_startproc\n"
	"	movq $0x1f0c8, (%rdi)\n" /* rbx rbp rsp r12-r15 rip */
	"	movq %rbx, 8+3*8(%rdi)\n"
	"	movq %rbp, 8+6*8(%rdi)\n"
	"	leaq 8(%rsp), %rax\n"
	"	movq %rax, 8+7*8(%rdi)\n"
	"	movq %r12, 8+12*8(%rdi)\n"
	"	movq %r13, 8+13*8(%rdi)\n"
	"	movq %r14, 8+14*8(%rdi)\n"
	"	movq %r15, 8+15*8(%rdi)\n"
	"	movq (%rsp), %rax\n"
	"	movq %rax, 8+16*8(%rdi)\n"
	"	ret\n"
	".cfi_endproc\n"
	".size ht_unwind_own_regs, .-ht_unwind_own_regs\n");

_Static_assert(offsetof(struct unwind_regs, value) == 8, "the assembly above");

/* DWARF register number of each general register in a ucontext, in its order. */
static const uint8_t context_regs[] = { 8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16 };

/* Whether a word can be a return address into an object or into code near `pc`. */
static bool is_return_address(uintptr_t word, uintptr_t pc)
{
	struct eh_object object;
	uintptr_t before;

	if (word - pc + NEAR_BYTES >= 2 * NEAR_BYTES && !ht_module_find(word - 1, &object))
		return false;
	if (!ht_stack_peek(word - sizeof(before), &before))
		return false;
#define BYTE_BEFORE(n) (before >> (64 - 8 * (n)) & 0xff)
	if (BYTE_BEFORE(5) == 0xe8)
		return true;
	for (unsigned bytes = 2; bytes <= 7; bytes++)
		if (BYTE_BEFORE(bytes) == 0xff && (BYTE_BEFORE(bytes - 1) >> 3 & 7) == 2)
			return true;
#undef BYTE_BEFORE
	return false;
}

/*
 * Interpreters and compilers that make code at run time mostly let it keep frame pointers. That fp
 * is this frame's is taken for true when a return address lies where it says, and no other one
 * between sp and there: if fp belonged to a frame further out, ours would.
 */
static bool step_by_fp(const struct unwind_regs *regs, const struct stack_range *range,
		       struct unwind_regs *ret)
{
	uintptr_t pc = regs->value[EH_RA], sp = regs->value[EH_SP], fp = regs->value[EH_FP];
	const uintptr_t *record = (const uintptr_t *)fp;

	if ((fp & 7) || fp < sp || fp - sp > FP_FRAME_MAX || sp < range->start ||
	    fp + 2 * sizeof(*record) > range->end || !is_return_address(record[1], pc))
		return false;
	for (const uintptr_t *at = (const uintptr_t *)((sp + 7) & ~(uintptr_t)7); at < record; at++)
		if (is_return_address(*at, pc))
			return false;
	ret->value[EH_RA] = record[1];
	ret->value[EH_FP] = record[0];
	ret->value[EH_SP] = fp + 2 * sizeof(*record);
	ret->known = (uint64_t)1 << EH_RA | (uint64_t)1 << EH_FP | (uint64_t)1 << EH_SP;
	return true;
}

int ht_unwind_without_row(const struct unwind_regs *regs, const struct stack_range *range,
			  struct unwind_regs *ret, const uintptr_t **ret_record)
{
	uintptr_t pc = regs->value[EH_RA], sp = regs->value[EH_SP], word, tail;
	struct unwind_regs caller = { .known = 0 };

	*ret_record = NULL;
	/* The dynamic linker's entry calls constructors; beneath it there is only what the kernel
	 * put on the stack. */
	if (sp - ((uintptr_t)__libc_stack_end - RED_ZONE_WORDS * 8) <= RED_ZONE_WORDS * 16) {
		*ret = caller;
		return 0;
	}
	if (!ht_stack_peek(pc, &word))
		return -ENOENT;
	if (word != RESTORER_WORD || !ht_stack_peek(pc + 8, &tail) ||
	    (uint8_t)tail != RESTORER_TAIL) {
		if (!step_by_fp(regs, range, ret))
			return -ENOENT;
		*ret_record = (const uintptr_t *)regs->value[EH_FP];
		return 0;
	}
	for (unsigned i = 0; i < sizeof(context_regs); i++) {
		if (!ht_stack_peek(sp + UCONTEXT_REGS + i * 8, &caller.value[context_regs[i]]))
			return -ENOENT;
		caller.known |= (uint64_t)1 << context_regs[i];
	}
	if (caller.value[EH_RA])
		caller.value[EH_RA]++;
	*ret = caller;
	return 0;
}
#endif
