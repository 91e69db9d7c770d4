/*
 * What signals a program gets: prints which are ignored and blocked at its start, then "ready", then the
 * number of each that arrives, until as many came as its argument says and none for a moment after
 * that. Its status is 9. SIGTSTP stops it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void print_status(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "SigBlk", 6) || !strncmp(line, "SigIgn", 6))
			fputs(line, stdout);
	if (file)
		fclose(file);
}

int main(int argc, char **argv)
{
	const struct timespec moment = { 0, 300000000 };
	int left = argc > 1 ? atoi(argv[1]) : 0, number;
	siginfo_t info;
	sigset_t all;

	print_status();
	sigfillset(&all);
	sigdelset(&all, SIGTSTP);
	signal(SIGTSTP, SIG_DFL);
	/* Ignored ones are not even kept for later. */
	for (number = 1; number < NSIG; number++)
		if (number != SIGTSTP)
			signal(number, SIG_DFL);
	sigprocmask(SIG_SETMASK, &all, NULL);
	free(malloc(100));
	puts("ready");
	fflush(stdout);
	while ((number = left > 0 ? sigwaitinfo(&all, &info) : sigtimedwait(&all, &info, &moment)) >
		       0 ||
	       left > 0) {
		if (number <= 0)
			continue;
		printf("%d%s\n", number, info.si_code == SI_QUEUE ? " queued" : "");
		fflush(stdout);
		left--;
	}
	return 9;
}
