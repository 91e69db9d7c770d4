/*
 * reentry SIGNALS: a timer's handler allocates and frees all the time, whatever it interrupts: small
 * blocks, which it keeps for a while, and large ones. The program does the same with sizes of other
 * classes, so that what it has in hand and what the handler takes are never the same block; all that is
 * behind that (lists, pages, locks) they share. Every byte of every block is looked at.
 */
#include <signal.h>
#include <sys/time.h>

#include "tests/programs/say.h"

#define KEPT 64

struct held {
	unsigned char *block;
	size_t bytes;
};

static volatile sig_atomic_t handled;
static volatile long wrong;
static struct held kept[KEPT], held[256];

static void check_and_free(struct held *one, int value)
{
	for (size_t i = 0; i < one->bytes; i += 61)
		wrong += one->block[i] != value;
	free(one->block);
	one->block = NULL;
}

static void take(struct held *one, size_t bytes, int value)
{
	one->block = malloc(bytes);
	one->bytes = one->block ? bytes : 0;
	if (one->block)
		memset(one->block, value, bytes);
}

static void on_timer(int number)
{
	struct held large;

	(void)number;
	handled++;
	check_and_free(&kept[handled % KEPT], 0x55);
	take(&kept[handled % KEPT], 20000, 0x55);
	take(&large, 300000, 0x66);
	check_and_free(&large, 0x66);
}

int main(int argc, char **argv)
{
	long signals = argc > 1 ? atol(argv[1]) : 5000;
	uint32_t random = 1;
	sig_atomic_t seen = -1;

	signal(SIGALRM, on_timer);
	while (handled < signals) {
		struct held *one;

		random = random * 1103515245 + 12345;
		/* Not before we were here again: handlers alone would get nowhere. */
		if (seen != handled) {
			seen = handled;
			setitimer(ITIMER_REAL,
				  &(struct itimerval){ { 0, 0 }, { 0, 1 + (random >> 20) % 60 } },
				  NULL);
		}
		one = &held[random >> 16 & 255];
		check_and_free(one, 0x77);
		take(one,
		     (random >> 8) % (random >> 27 ? 3000 : 100000) + (random >> 27 ? 0 : 40000),
		     0x77);
	}
	setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 0 } }, NULL);
	say("%ld wrong\n", (long)wrong);
	say_write();
	return 6;
}
