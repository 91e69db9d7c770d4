/*
 * A timer's handler allocates while the program does. (Not allowed by POSIX for a program that
 * allocates itself, and done all the same.) The handler's blocks are counted apart; prints
 * program's allocations, handler's allocations.
 */
#include <signal.h>
#include <sys/time.h>

#include "tests/programs/say.h"

static volatile sig_atomic_t inside, done;
static volatile long handled;

/* Allocates only when the program is not inside the allocator, as careful programs do. */
static void on_timer(int number)
{
	(void)number;
	if (inside || done)
		return;
	free(malloc(3333));
	handled++;
}

int main(void)
{
	struct itimerval every = { { 0, 200 }, { 0, 200 } };
	long count = 0;

	signal(SIGALRM, on_timer);
	setitimer(ITIMER_REAL, &every, NULL);
	while (handled < 500 && count < 50000000) {
		inside = 1;
		free(malloc(100 + (size_t)(count % 1000)));
		inside = 0;
		count++;
		for (int i = 0; i < 300; i++)
			atomic_signal_fence(memory_order_seq_cst);
	}
	done = 1;
	say("%ld,%ld\n", count, (long)handled);
	say_write();
	return 0;
}
