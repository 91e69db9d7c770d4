/*
 * Stacks where re-use of the last one is most likely to go wrong. Says what it did as
 * "SIZE FUNCTION...", innermost first; tests/e2e/stacks.sh compares. With two plug-ins as arguments
 * it loads them in turn, at the same address, instead.
 */
#include <alloca.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone, no_icf))
#define KEEP __asm__ volatile("" ::: "memory")

static size_t next_bytes = 200001;

static NOINLINE void allocate(void)
{
	void *block = malloc(next_bytes++);

	KEEP;
	free(block);
}

/* A call of malloc that is a jump: its caller is what is seen. */
static NOINLINE void *allocate_by_jump(void)
{
	return malloc(next_bytes++);
}

static NOINLINE void even(unsigned turns, int depth);

static NOINLINE void odd(unsigned turns, int depth)
{
	if (depth == 0)
		allocate();
	else if (turns & 1)
		odd(turns >> 1, depth - 1);
	else
		even(turns >> 1, depth - 1);
	KEEP;
}

static NOINLINE void even(unsigned turns, int depth)
{
	if (depth == 0)
		allocate();
	else if (turns & 1)
		odd(turns >> 1, depth - 1);
	else
		even(turns >> 1, depth - 1);
	KEEP;
}

static NOINLINE void recurse(void)
{
	for (unsigned turns = 0; turns < 64; turns++) {
		printf("%zu allocate", next_bytes);
		for (int level = 5; level > 0; level--)
			fputs(turns >> (level - 1) & 1 ? " odd" : " even", stdout);
		puts(" even recurse main");
		even(turns, 5);
	}
}

static NOINLINE void varying(size_t bytes)
{
	char *room = alloca(bytes);

	memset(room, 1, bytes);
	allocate();
	__asm__ volatile("" : : "r"(room) : "memory");
}

static NOINLINE void jumps(void)
{
	free(allocate_by_jump());
	KEEP;
}

static ucontext_t back, there;

static NOINLINE void coroutine(void)
{
	for (;;) {
		allocate();
		swapcontext(&there, &back);
		KEEP;
	}
}

static NOINLINE void on_signal(int number)
{
	(void)number;
	allocate();
	KEEP;
}

static NOINLINE void raises(void)
{
	kill(getpid(), SIGUSR1);
	KEEP;
}

static NOINLINE int plug_ins(char **paths)
{
	for (int i = 0; i < 20; i++) {
		void *handle = dlopen(paths[i & 1], RTLD_NOW);
		void *(*plug)(size_t) = handle ? (void *(*)(size_t))dlsym(handle, "plug") : NULL;

		if (!plug)
			return 1;
		free(plug(next_bytes));
		printf("%zu %s\n", next_bytes++, paths[i & 1]);
		dlclose(handle);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static char stack[1 << 16];

	if (argc == 3)
		return plug_ins(argv + 1);
	recurse();
	for (size_t i = 0; i < 10; i++) {
		printf("%zu allocate varying main\n", next_bytes);
		varying(16 + i % 3 * 400);
	}
	printf("%zu jumps main\n", next_bytes);
	jumps();
	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = sizeof(stack);
	makecontext(&there, coroutine, 0);
	for (int i = 0; i < 4; i++) {
		printf("%zu allocate coroutine\n", next_bytes);
		swapcontext(&back, &there);
		printf("%zu allocate varying main\n", next_bytes);
		varying(64);
	}
	signal(SIGUSR1, on_signal);
	for (int i = 0; i < 4; i++) {
		printf("%zu allocate on_signal raises main\n", next_bytes);
		raises();
	}
	return 0;
}
