/*
 * A timer's handler makes page calls at a high rate while the program allocates: it interrupts the
 * recorder in the middle of an event again and again. With "alternate" it runs on a stack of its
 * own, with "jump" it leaves by siglongjmp. Prints how many madvise calls were made at least, and at
 * most (one may have been cut off by the jump).
 */
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "tests/programs/say.h"

#define HANDLED 2000

static volatile sig_atomic_t handled, jumps;
static volatile long calls;
static char *page;
static sigjmp_buf again;

static void page_call(void)
{
	madvise(page, 12288, MADV_NORMAL);
	calls++;
}

static void on_timer(int number)
{
	(void)number;
	handled++;
	page_call();
	if (jumps)
		siglongjmp(again, 1);
}

int main(int argc, char **argv)
{
	static char stack[65536];
	struct itimerval every = { { 0, 100 }, { 0, 100 } };
	struct sigaction action = { .sa_handler = on_timer, .sa_flags = SA_RESTART };
	bool alternate = argc > 1 && strcmp(argv[1], "alternate") == 0;
	bool jump = argc > 1 && strcmp(argv[1], "jump") == 0;

	page = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (alternate) {
		sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) }, NULL);
		action.sa_flags |= SA_ONSTACK;
	}
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	while (handled < HANDLED) {
		if (!jump) {
			free(malloc(100));
			continue;
		}
		sigsetjmp(again, 1);
		jumps = 1;
		page_call();
		jumps = 0;
	}
	setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 0 } }, NULL);
	say("%ld,%ld\n", (long)calls, (long)calls + (jump ? handled : 0));
	say_write();
	return 0;
}
