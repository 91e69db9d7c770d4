#include "shim/api/seccomp.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "shim/alloc/types.h"
#include "shim/clock.h"
#include "shim/link.h"
#include "shim/prim.h"
#include "shim/record/lifecycle.h"
#include "shim/record/thread.h"
#include "shim/ring.h"
#include "shim/stack/capture.h"
#include "shim/sys.h"

#ifdef __x86_64__
#define OUR_ARCH AUDIT_ARCH_X86_64
#else
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif
#define SEND_MS 2000

bool ht_seccomp_forbids_start;

/* What recording calls while the program runs, and what it may leave out. */
static const struct call {
	uint32_t number;
	uint64_t words[6];
} running[] = {
	{ SYS_sendmsg, { 1000, 0, 0x4040 } },
	{ SYS_fstat, { 1000 } },
	{ SYS_rt_sigprocmask, { SIG_BLOCK, 0, 0, 8 } },
	{ SYS_rt_sigprocmask, { SIG_SETMASK, 0, 0, 8 } },
	{ SYS_futex, { 0, FUTEX_WAIT_PRIVATE, 2 } },
	{ SYS_futex, { 0, FUTEX_WAKE_PRIVATE, 1 } },
	{ SYS_prctl, { PR_GET_NAME } },
	{ SYS_ppoll, { 0, 1 } },
	{ SYS_gettid, { 0 } },
	{ SYS_getpid, { 0 } },
	{ SYS_sigaltstack, { 0 } },
	{ SYS_close, { 1000 } },
}, starting[] = {
	{ SYS_memfd_create, { 0, 3 } },
	{ SYS_ftruncate, { 3 } },
	{ SYS_fcntl, { 3, F_DUPFD_CLOEXEC, 1000 } },
	{ SYS_fcntl, { 3, F_ADD_SEALS, F_SEAL_SHRINK } },
	{ SYS_socket, { 1, 0x80001 } },
	{ SYS_setsockopt, { 3, 1 } },
	{ SYS_connect, { 3 } },
	{ SYS_prlimit64, { 0, 7 } },
	{ SYS_getppid, { 0 } },
	{ SYS_readlinkat, { (uint64_t)AT_FDCWD } },
	{ SYS_madvise, { 0 } },
	/* What is asked of a program before it is started (follow.c, proto/image.c). */
	{ SYS_pread64, { 3 } },
	{ SYS_faccessat, { (uint64_t)AT_FDCWD } },
	{ SYS_newfstatat, { (uint64_t)AT_FDCWD } },
	{ SYS_fgetxattr, { 3 } },
	{ SYS_fstatfs, { 3 } },
	{ SYS_getuid, { 0 } },
	{ SYS_geteuid, { 0 } },
	{ SYS_getgid, { 0 } },
	{ SYS_getegid, { 0 } },
	{ SYS_prctl, { PR_GET_NO_NEW_PRIVS } },
	{ SYS_pidfd_open, { 1 } },
};
/* What the shim can do without. */
static const struct {
	enum prim_call what;
	struct call call;
} refusable[] = {
	{ PRIM_MADVISE, { SYS_madvise, { 0, 4096, 4 } } },
	{ PRIM_MREMAP, { SYS_mremap, { 0, 4096, 8192, 1 } } },
	{ PRIM_GETTID, { SYS_gettid, { 0 } } },
	{ PRIM_CLOCK, { SYS_clock_gettime, { CLOCK_MONOTONIC_COARSE } } },
	{ PRIM_OPEN, { SYS_openat, { (uint64_t)AT_FDCWD, 0, O_RDONLY | O_CLOEXEC } } },
	{ PRIM_OPEN, { SYS_read, { 3 } } },
	{ PRIM_OPEN, { SYS_pread64, { 3 } } },
	{ PRIM_OPEN, { SYS_ioctl, { 3 } } },
	{ PRIM_OPEN, { SYS_close, { 3 } } },
	{ PRIM_PEEK, { SYS_process_vm_readv, { 1000, 0, 1, 0, 1 } } },
	{ PRIM_PATH, { SYS_readlinkat, { (uint64_t)AT_FDCWD } } },
	{ PRIM_PATH, { SYS_newfstatat, { (uint64_t)AT_FDCWD } } },
	{ PRIM_PATH, { SYS_getcwd, { 0 } } },
	{ PRIM_SIGNAL, { SYS_tgkill, { 1000, 1000 } } },
	{ PRIM_HANDLER, { SYS_rt_sigaction, { SIGSEGV, 0, 0, 8 } } },
	{ PRIM_BARRIER, { SYS_prctl, { PR_GET_SECCOMP } } },
	{ PRIM_BARRIER, { SYS_membarrier, { 8 } } },
	{ PRIM_PROTECT, { SYS_mprotect, { 0, 4096, 1 } } },
	{ PRIM_MINCORE, { SYS_mincore, { 0, 4096 } } },
	{ PRIM_MOVE, { SYS_fcntl, { 1000, F_DUPFD_CLOEXEC, 1001 } } },
	{ PRIM_WRITE, { SYS_write, { 2 } } },
};
#define CALLS(of) (sizeof(of) / sizeof((of)[0]))

static bool alu(uint16_t code, uint32_t *a, uint32_t operand)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
		*a += operand;
		return true;
	case BPF_SUB:
		*a -= operand;
		return true;
	case BPF_MUL:
		*a *= operand;
		return true;
	case BPF_DIV:
		*a = operand ? *a / operand : 0;
		return operand != 0;
	case BPF_OR:
		*a |= operand;
		return true;
	case BPF_AND:
		*a &= operand;
		return true;
	case BPF_XOR:
		*a ^= operand;
		return true;
	case BPF_LSH:
		*a <<= operand & 31;
		return true;
	case BPF_RSH:
		*a >>= operand & 31;
		return true;
	case BPF_NEG:
		*a = -*a;
		return true;
	default:
		return false;
	}
}

static bool jumps(uint16_t code, uint32_t a, uint32_t operand)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ:
		return a == operand;
	case BPF_JGT:
		return a > operand;
	case BPF_JGE:
		return a >= operand;
	default:
		return (a & operand) != 0;
	}
}

uint32_t ht_seccomp_verdict(const struct sock_fprog *filter, uint32_t number, const uint64_t *words)
{
	struct seccomp_data data = { .nr = (int)number, .arch = OUR_ARCH };
	uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = { 0 };

	memcpy(data.args, words, sizeof(data.args));
	for (uint32_t at = 0; at < filter->len; at++) {
		const struct sock_filter *step = &filter->filter[at];
		uint32_t operand = BPF_SRC(step->code) == BPF_X ? x : step->k;

		switch (BPF_CLASS(step->code)) {
		case BPF_LD:
		case BPF_LDX: {
			uint32_t value = step->k;

			if (BPF_MODE(step->code) == BPF_ABS) {
				if (step->k > sizeof(data) - 4)
					return SECCOMP_RET_ALLOW;
				memcpy(&value, (const char *)&data + step->k, 4);
			} else if (BPF_MODE(step->code) == BPF_MEM) {
				value = memory[step->k % BPF_MEMWORDS];
			} else if (BPF_MODE(step->code) == BPF_LEN) {
				value = sizeof(data);
			}
			*(BPF_CLASS(step->code) == BPF_LD ? &a : &x) = value;
			break;
		}
		case BPF_ST:
			memory[step->k % BPF_MEMWORDS] = a;
			break;
		case BPF_STX:
			memory[step->k % BPF_MEMWORDS] = x;
			break;
		case BPF_ALU:
			if (!alu(step->code, &a, operand))
				return SECCOMP_RET_ALLOW;
			break;
		case BPF_JMP:
			if (BPF_OP(step->code) == BPF_JA)
				at += step->k;
			else
				at += jumps(step->code, a, operand) ? step->jt : step->jf;
			break;
		case BPF_RET:
			return BPF_RVAL(step->code) == BPF_A ? a : step->k;
		default:
			if (BPF_MISCOP(step->code) == BPF_TAX)
				x = a;
			else
				a = x;
		}
	}
	return SECCOMP_RET_ALLOW;
}

/* Ends the process, or the thread, or is sent as a signal: while signals are blocked that is the
 * same. */
static bool is_fatal(uint32_t verdict)
{
	verdict &= SECCOMP_RET_ACTION_FULL;
	return verdict == SECCOMP_RET_KILL_PROCESS || verdict == SECCOMP_RET_KILL_THREAD ||
	       verdict == SECCOMP_RET_TRAP;
}

static bool forbids(const struct sock_fprog *filter, const struct call *calls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_fatal(ht_seccomp_verdict(filter, calls[i].number, calls[i].words)))
			return true;
	return false;
}

/* The kernel looks before it says that the first argument makes no sense. */
static bool is_readable(const void *p)
{
	return p && sys_call4(SYS_rt_sigprocmask, ~0u >> 1, p, 0, 8) != -EFAULT;
}

static const char no_calls[] = "the program forbids itself the system calls that recording needs";

/* For the whole process, though the filter may be for this thread only. */
static void end_recording(const char *why)
{
	struct link_hold hold;

	if (ht_link.state != LINK_ON || sys_call0(SYS_getpid) != ht_pid)
		return;
	if (!ht_ring.shared)
		ht_threads_send_all();
	ht_link_drain(SEND_MS);
	ht_link_lock(&hold);
	ht_link_off(why, EPERM);
	ht_link_unlock(&hold);
}

static void map_ahead(void)
{
	struct link_hold hold;

	if (ht_link.state != LINK_ON || !ht_ring.shared || sys_call0(SYS_getpid) != ht_pid)
		return;
	ht_link_lock(&hold);
	ht_ring_ahead(&ht_ring);
	ht_link_unlock(&hold);
}

/* Else the kernel will not install it. */
static bool may_install(void)
{
	return sys_call5(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
	       sys_call0(SYS_geteuid) == 0;
}

static void forbid_start(void)
{
	ht_seccomp_forbids_start = true;
	prim_forbidden |= 1u << PRIM_START;
}

static void before_filter(const struct sock_fprog *filter)
{
	if (!is_readable(filter) || !filter->len || filter->len > BPF_MAXINSNS ||
	    !is_readable(filter->filter) ||
	    !is_readable((const char *)(filter->filter + filter->len) - 8) || !may_install())
		return;
	for (size_t i = 0; i < CALLS(refusable); i++) {
		if (!forbids(filter, &refusable[i].call, 1))
			continue;
		if (refusable[i].what == PRIM_MREMAP)
			map_ahead();
		prim_forbidden |= 1u << refusable[i].what;
	}
	if (forbids(filter, running, CALLS(running))) {
		forbid_start();
		end_recording(no_calls);
	} else if (forbids(filter, starting, CALLS(starting))) {
		forbid_start();
	}
}

/* A vfork child forbids itself something, but the memory is its parent's. */
static bool is_vfork_child(void)
{
	return ht_link.state == LINK_ON && sys_call0(SYS_getpid) != ht_pid;
}

static void before_no_counter(void)
{
	if (is_vfork_child())
		return;
	end_recording("the program forbids itself the cycle counter that recording reads");
	ht_clock_by_call();
}

/* Nothing but read, write, exit and the return from a signal handler, and no cycle counter. The kernel
 * refuses it where there is a filter. */
static void before_strict(void)
{
	if (is_vfork_child() || sys_call5(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0, 0) != 0)
		return;
	end_recording(no_calls);
	ht_clock_by_call();
	ht_stacks_on = ht_free_stacks_on = false;
	prim_confine(true);
}

static void before_prctl(unsigned long option, unsigned long first, unsigned long second)
{
	if (option == PR_SET_TSC && first == PR_TSC_SIGSEGV)
		before_no_counter();
	else if (option == PR_SET_SECCOMP && first == SECCOMP_MODE_FILTER)
		before_filter((const struct sock_fprog *)second);
	else if (option == PR_SET_SECCOMP && first == SECCOMP_MODE_STRICT)
		before_strict();
}

HT_EXPORT int HT_API(prctl)(int option, ...)
{
	unsigned long words[4];
	va_list args;

	va_start(args, option);
	for (unsigned i = 0; i < 4; i++)
		words[i] = va_arg(args, unsigned long);
	va_end(args);
	before_prctl((unsigned)option, words[0], words[1]);
	return (int)sys_result(
		sys_call5(SYS_prctl, option, words[0], words[1], words[2], words[3]));
}

void ht_syscall_watched(long number, unsigned long first, unsigned long second, unsigned long third)
{
	if (number == SYS_prctl)
		before_prctl((unsigned)first, second, third);
	else if (first == SECCOMP_SET_MODE_FILTER)
		before_filter((const struct sock_fprog *)third);
	else if (first == SECCOMP_SET_MODE_STRICT && !second && !third)
		before_strict();
}

long ht_syscall_failed(long error)
{
	errno = (int)-error;
	return -1;
}

#ifdef __x86_64__
/* Without a frame, as the C library's own: a call may return on another stack, or twice. */
HT_EXPORT __attribute__((naked)) long HT_API(syscall)(__attribute__((unused)) long number, ...)
{
	__asm__("cmpq $317, %rdi\n\t" /* SYS_seccomp */
		"je 2f\n\t"
		"cmpq $157, %rdi\n\t" /* SYS_prctl */
		"je 2f\n"
		"1:\tmovq %rdi, %rax\n\t"
		"movq %rsi, %rdi\n\t"
		"movq %rdx, %rsi\n\t"
		"movq %rcx, %rdx\n\t"
		"movq %r8, %r10\n\t"
		"movq %r9, %r8\n\t"
		"movq 8(%rsp), %r9\n\t"
		"syscall\n\t"
		"cmpq $-4095, %rax\n\t"
		"jae 3f\n\t"
		"ret\n"
		"2:\tpushq %rdi\n\t"
		"pushq %rsi\n\t"
		"pushq %rdx\n\t"
		"pushq %rcx\n\t"
		"pushq %r8\n\t"
		"call ht_syscall_watched\n\t"
		"popq %r8\n\t"
		"popq %rcx\n\t"
		"popq %rdx\n\t"
		"popq %rsi\n\t"
		"popq %rdi\n\t"
		"jmp 1b\n"
		"3:\tmovq %rax, %rdi\n\t"
		"jmp ht_syscall_failed");
}
_Static_assert(SYS_seccomp == 317 && SYS_prctl == 157, "as above");
#else
HT_EXPORT long HT_API(syscall)(long number, ...)
{
	long words[6];
	va_list args;

	va_start(args, number);
	for (unsigned i = 0; i < 6; i++)
		words[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_seccomp || number == SYS_prctl)
		ht_syscall_watched(number, (unsigned long)words[0], (unsigned long)words[1],
				   (unsigned long)words[2]);
	return sys_result(
		sys_call6(number, words[0], words[1], words[2], words[3], words[4], words[5]));
}
#endif
