/*
 * confined CALLS ACTION: forbids itself system calls that only the shim would make, then gives it occasion
 * to: allocates on stacks of its own making, from code without unwind data, in a new thread, in a fork,
 * and frees a block twice. Ends with 8. ACTION as in filter.c.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "tests/programs/say.h"

#define SYSCALLS_MAX 32

static const struct set {
	const char *name;
	int calls[SYSCALLS_MAX];
} sets[] = {
	{ "looking",
	  { SYS_process_vm_readv, SYS_openat, SYS_readlinkat, SYS_ioctl, SYS_pread64, SYS_getcwd,
	    SYS_newfstatat, SYS_tgkill, SYS_membarrier, SYS_pipe2, SYS_close_range,
	    SYS_pidfd_open } },
	{ "start",
	  { SYS_memfd_create, SYS_socket, SYS_connect, SYS_socketpair, SYS_setsockopt,
	    SYS_ftruncate } },
	{ "advice", { SYS_madvise, SYS_mremap } },
	{ "handlers", { SYS_rt_sigaction } },
	{ "closing", { SYS_close } },
	{ "status", { SYS_fstat } },
	{ "name", { SYS_prctl } },
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

	add(&program, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0);
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		for (int n = 0; !strcmp(sets[i].name, name) && sets[i].calls[n]; n++) {
			add(&program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)sets[i].calls[n], 1);
			add(&program, BPF_RET | BPF_K, refusal, 0);
		}
	add(&program, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void step(const char *what)
{
	if (write(1, what, strlen(what)) < 0)
		_exit(3);
}

static void *volatile kept[100];

static __attribute__((noinline)) void allocate(void)
{
	for (size_t i = 0; i < 100; i++)
		kept[i] = malloc(100 + i);
	for (size_t i = 0; i < 100; i++)
		free(kept[i]);
}

static ucontext_t ours, theirs;

static void coroutine(void)
{
	allocate();
	swapcontext(&theirs, &ours);
	allocate();
	swapcontext(&theirs, &ours);
}

static void on_stacks(void)
{
	for (int i = 0; i < 3; i++) {
		size_t bytes = 256 << 10;
		void *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				   -1, 0);

		getcontext(&theirs);
		theirs.uc_stack = (stack_t){ .ss_sp = stack, .ss_size = bytes };
		theirs.uc_link = &ours;
		makecontext(&theirs, coroutine, 0);
		swapcontext(&ours, &theirs);
		swapcontext(&ours, &theirs);
		munmap(stack, bytes);
	}
}

/* push %rbp; mov %rsp, %rbp; mov $allocate, %rax; call *%rax; pop %rbp; ret */
static void from_nowhere(unsigned char *code)
{
#ifdef __x86_64__
	static const unsigned char before[] = { 0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8 };
	static const unsigned char after[] = { 0xff, 0xd0, 0x5d, 0xc3 };
	void (*target)(void) = allocate;
	void (*run)(void);

	memcpy(code, before, sizeof(before));
	memcpy(code + sizeof(before), &target, sizeof(target));
	memcpy(code + sizeof(before) + sizeof(target), after, sizeof(after));
	memcpy(&run, &(void *){ code }, sizeof(run));
	run();
#else
	(void)code;
	allocate();
#endif
}

static int done;

static void *thread(void *unused)
{
	(void)unused;
	allocate();
	__atomic_store_n(&done, 1, __ATOMIC_RELEASE);
	/* Its end would ask for more. */
	for (;;)
		pause();
	return NULL;
}

int main(int argc, char **argv)
{
	int status = 0;
	pthread_t id;
	pid_t child;
	void *code, *page;

	if (argc < 3)
		return 2;
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	free(malloc(7101));
	if (code == MAP_FAILED || install(argv[1], argv[2])) {
		step("no filter\n");
		return 77;
	}
	allocate();
	step("filter\n");
	on_stacks();
	step("stacks\n");
	from_nowhere(code);
	step("code\n");
	mprotect(page, 4096, PROT_NONE);
	step("page\n");
	if (pthread_create(&id, NULL, thread, NULL))
		return 4;
	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
		usleep(1000);
	step("thread\n");
	child = fork();
	if (child == 0) {
		allocate();
		syscall(SYS_exit_group, 6);
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 6)
		return 5;
	step("fork\n");
	/* The C library's malloc would end it. */
	if (getenv("HEAPTAPE_ON_ERROR")) {
		void *volatile block = malloc(333);

		free(block);
		free(block);
	}
	step("through\n");
	syscall(SYS_exit_group, 8);
	return 9;
}
