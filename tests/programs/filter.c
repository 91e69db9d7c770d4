/*
 * filter CALLS ACTION [PROGRAM ARGUMENTS...]: forbids itself system calls by a seccomp filter, which
 * answers with an error, kills, or sends a signal; then it allocates 3,000 blocks, and is the program.
 * "only" forbids everything but what a sandboxed worker needs.
 *
 * CALLS "tsc" forbids reading the cycle counter instead, and "strict" every system call but read, write
 * and exit, after some memory was allocated and freed. ACTION is then the function that is called:
 * prctl, number (prctl by syscall) or seccomp. "exhausted" is strict and allocates until there is no
 * memory left, or 1 GiB.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "tests/programs/say.h"

#define SYSCALLS_MAX 32

static const struct set {
	const char *name;
	int calls[SYSCALLS_MAX];
} sets[] = {
	{ "memfd", { SYS_memfd_create } },
	{ "socket", { SYS_socket, SYS_connect } },
	{ "send", { SYS_sendmsg, SYS_sendto } },
	{ "signals", { SYS_rt_sigprocmask } },
	{ "advice", { SYS_madvise, SYS_mremap } },
	{ "mapping", { SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mincore } },
	{ "reading", { SYS_process_vm_readv, SYS_openat, SYS_readlinkat, SYS_ioctl, SYS_pread64 } },
	{ "only",
	  { SYS_read, SYS_write, SYS_mmap, SYS_munmap, SYS_brk, SYS_exit_group, SYS_futex } },
};

static void add(struct sock_fprog *program, uint16_t code, uint32_t k, uint8_t no)
{
	program->filter[program->len++] = (struct sock_filter){ code, 0, no, k };
}

static int install(const char *name, const char *action)
{
	struct sock_filter steps[2 * SYSCALLS_MAX + 4];
	struct sock_fprog program = { 0, steps };
	uint32_t refusal = !strcmp(action, "kill")   ? SECCOMP_RET_KILL_PROCESS
			   : !strcmp(action, "trap") ? SECCOMP_RET_TRAP
						     : SECCOMP_RET_ERRNO | EPERM;
	int only = !strcmp(name, "only");

	add(&program, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0);
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		for (int n = 0; !strcmp(sets[i].name, name) && (sets[i].calls[n] || (!n && only));
		     n++) {
			add(&program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)sets[i].calls[n], 1);
			add(&program, BPF_RET | BPF_K, only ? SECCOMP_RET_ALLOW : refusal, 0);
		}
	add(&program, BPF_RET | BPF_K, only ? refusal : SECCOMP_RET_ALLOW, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	/* Both ways there are. */
	if (only)
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static int forbid_counter(const char *way)
{
	if (!strcmp(way, "number"))
		return (int)syscall(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
	return prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
}

static int be_strict(const char *way)
{
	/* What it will need, the C library's malloc keeps too. */
	void *blocks[3000];

	for (size_t i = 0; i < 3000; i++)
		blocks[i] = malloc(i * 20 % 900);
	for (size_t i = 0; i < 3000; i++)
		free(blocks[i]);
	if (!strcmp(way, "seccomp"))
		return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL);
	if (!strcmp(way, "number"))
		return (int)syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
}

int main(int argc, char **argv)
{
	bool strict, exhausted;

	if (argc < 3)
		return 2;
	for (int i = 0; i < 100; i++)
		free(malloc(7101));
	/* As one asks whether there are filters at all. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) != -1 || errno != EFAULT ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) != -1)
		return 77;
	exhausted = !strcmp(argv[1], "exhausted");
	strict = exhausted || !strcmp(argv[1], "strict");
	if (strict		      ? be_strict(argv[2])
	    : !strcmp(argv[1], "tsc") ? forbid_counter(argv[2])
				      : install(argv[1], argv[2])) {
		if (write(1, "no filter\n", 10) < 0)
			return 3;
		return 77;
	}
	for (size_t i = 0; i < 3000; i++)
		free(malloc(strict ? i * 20 % 900 : i * 20));
	for (size_t i = 0; exhausted && malloc(1000); i++)
		if (i >> 20)
			return 6;
	if (argc > 3) {
		execv(argv[3], argv + 3);
		return 4;
	}
	if (write(1, "through\n", 8) < 0)
		return 3;
	syscall(strict ? SYS_exit : SYS_exit_group, 8);
	return 5;
}
