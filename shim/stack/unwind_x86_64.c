/* What depends on x86-64 besides the step itself: see unwind_slow.h. */
#if defined(__x86_64__)
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "shim/stack/row_cache.h"
#include "shim/stack/unwind_proof.h"
#include "shim/stack/unwind_slow.h"

#define RED_ZONE_WORDS 32 /* how far above the entry stack pointer the linker's entry may be */

#define SP_CODE 4 /* of registers in instructions */
#define FP_CODE 5

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

/*
 * Interpreters and compilers that make code at run time mostly let it keep frame pointers. This one
 * is the frame's if its code says so (unwind_proof.h) and it leads to a return address: into code
 * with unwind rows, or else to a frame further out.
 */
static bool step_by_fp(const struct unwind_regs *regs, const struct stack_range *range,
		       struct code_view *code, struct unwind_regs *ret)
{
	uintptr_t pc = regs->value[EH_RA], sp = regs->value[EH_SP], fp = regs->value[EH_FP];
	const uintptr_t *record = (const uintptr_t *)fp;

	if (((fp | sp) & 7) || fp < sp || sp < range->start ||
	    fp > range->end - 2 * sizeof(*record) || !ht_is_return_address(code, record[1]))
		return false;
	if ((record[0] <= fp || record[0] >= range->end) &&
	    row_kind(ht_row_interrupted(record[1])) == ROW_MISSING)
		return false;
	if (!ht_frame_keeps_fp(code, pc - regs->interrupted, sp, !regs->by_fp, fp))
		return false;
	ret->value[EH_RA] = record[1];
	ret->value[EH_FP] = record[0];
	ret->value[EH_SP] = fp + 2 * sizeof(*record);
	ret->known = (uint64_t)1 << EH_RA | (uint64_t)1 << EH_FP | (uint64_t)1 << EH_SP;
	ret->interrupted = false;
	ret->by_fp = true;
	return true;
}

#define CODE_BYTES 16 /* what is looked at from a place on, as far as it is readable */

#define STARTS_WITH(code, bytes) (memcmp(code, bytes, sizeof(bytes) - 1) == 0)
#define RET "\xc3"
#define REALIGNED_RET "\x49\x8d\x62\xf8\xc3" /* lea -8(%r10), %rsp; ret */
#define MAKE_FRAME "\x55\x48\x89\xe5"	     /* push %rbp; mov %rsp, %rbp */
#define MOV_SP_FP "\x48\x89\xe5"
#define POP_FP_RET "\x5d\xc3"
#define ENDBR64 "\xf3\x0f\x1e\xfa"

#define CALL_PRESERVED 0x1f0c8u /* rbx rbp rsp r12-r15 rip */

/* The caller, whose return address is at `at`. Registers are as they are. */
static bool return_by(const struct unwind_regs *regs, const struct stack_range *range, uintptr_t at,
		      struct unwind_regs *ret)
{
	struct unwind_regs caller = *regs;

	if ((at & 7) || at < range->start || at > range->end - sizeof(uintptr_t))
		return false;
	caller.value[EH_RA] = *(const uintptr_t *)at;
	caller.value[EH_SP] = at + sizeof(uintptr_t);
	caller.known &= CALL_PRESERVED;
	caller.interrupted = caller.by_fp = false;
	*ret = caller;
	return true;
}

bool ht_unwind_returning(const struct unwind_regs *regs, const struct stack_range *range,
			 struct code_view *view, struct unwind_regs *ret)
{
	uint8_t code[CODE_BYTES] = { 0 };

	if (!regs->interrupted || !ht_code_read(view, regs->value[EH_RA] - 1, code, CODE_BYTES))
		return false;
	if (STARTS_WITH(code, RET))
		return return_by(regs, range, regs->value[EH_SP], ret);
	return STARTS_WITH(code, REALIGNED_RET) && regs->known >> 10 & 1 &&
	       return_by(regs, range, regs->value[10] - sizeof(uintptr_t), ret);
}

/* The length of an instruction that may stand before a function makes its frame: endbr64, or a move
 * between registers, but not to sp or fp. 0: it is another one. */
static unsigned early_instruction(const uint8_t *code)
{
	unsigned rex = (code[0] & 0xf0) == 0x40;
	uint8_t to = code[rex + 1] & 7;

	if (STARTS_WITH(code, ENDBR64))
		return sizeof(ENDBR64) - 1;
	if (code[rex] != 0x89 || code[rex + 1] < 0xc0)
		return 0;
	return (to == SP_CODE || to == FP_CODE) && !(rex && code[0] & 1) ? 0 : rex + 2;
}

/* A frame without a row, interrupted where fp is not yet its own, or no longer. The instructions that
 * make and end a frame with a frame pointer say where the return address is. */
static bool step_interrupted(const struct unwind_regs *regs, const struct stack_range *range,
			     struct code_view *view, struct unwind_regs *ret)
{
	uintptr_t pc = regs->value[EH_RA], sp = regs->value[EH_SP];
	struct unwind_regs caller;
	uint8_t code[2 * CODE_BYTES] = { 0 };
	const uint8_t *next = code;
	unsigned bytes;

	if (!regs->interrupted || !ht_code_read(view, pc - 1, code, CODE_BYTES))
		return false;
	if (STARTS_WITH(code, MOV_SP_FP) || STARTS_WITH(code, POP_FP_RET)) {
		if (!return_by(regs, range, sp + sizeof(uintptr_t), &caller))
			return false;
		caller.value[EH_FP] = *(const uintptr_t *)sp;
	} else {
		while (next < code + CODE_BYTES && (bytes = early_instruction(next)))
			next += bytes;
		if (STARTS_WITH(next, MAKE_FRAME)
			    ? !return_by(regs, range, sp, &caller)
			    : !ht_unwind_returning(regs, range, view, &caller))
			return false;
	}
	if (!ht_is_return_address(view, caller.value[EH_RA]))
		return false;
	*ret = caller;
	return true;
}

bool ht_unwind_is_restorer(struct code_view *code, uintptr_t pc)
{
	uint8_t bytes[sizeof(uint64_t) + 1];
	uint64_t word;

	if (ht_code_read(code, pc, bytes, sizeof(bytes)) != sizeof(bytes))
		return false;
	memcpy(&word, bytes, sizeof(word));
	return word == RESTORER_WORD && bytes[sizeof(word)] == RESTORER_TAIL;
}

int ht_unwind_without_row(const struct unwind_regs *regs, const struct stack_range *range,
			  struct code_view *code, struct unwind_regs *ret,
			  const uintptr_t **ret_record)
{
	uintptr_t pc = regs->value[EH_RA], sp = regs->value[EH_SP];
	struct unwind_regs caller = { .known = 0, .interrupted = false };

	*ret_record = NULL;
	/* The dynamic linker's entry calls constructors; beneath it there is only what the kernel
	 * put on the stack. */
	if (sp - ((uintptr_t)__libc_stack_end - RED_ZONE_WORDS * 8) <= RED_ZONE_WORDS * 16) {
		*ret = caller;
		return 0;
	}
	if (step_interrupted(regs, range, code, ret))
		return 0;
	if (!ht_unwind_is_restorer(code, pc)) {
		if (!step_by_fp(regs, range, code, ret))
			return -ENOENT;
		*ret_record = (const uintptr_t *)regs->value[EH_FP];
		return 0;
	}
	for (unsigned i = 0; i < sizeof(context_regs); i++) {
		if (!ht_stack_peek(sp + UCONTEXT_REGS + i * 8, &caller.value[context_regs[i]]))
			return -ENOENT;
		caller.known |= (uint64_t)1 << context_regs[i];
	}
	if (caller.value[EH_RA]) {
		caller.value[EH_RA]++;
		caller.interrupted = true;
	}
	*ret = caller;
	return 0;
}
#endif
