/* steady BLOCKS UNTIL: allocates, says so, waits, then frees and ends. UNTIL is a number of seconds, or
 * a path: it waits until there is such a file. For live views and kills. */
#include "tests/programs/say.h"

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 100;
	const char *until = argc > 2 ? argv[2] : "1";
	void **blocks = malloc((size_t)count * sizeof(*blocks));

	for (long i = 0; i < count; i++)
		blocks[i] = malloc(555);
	say("ready %d\n", (int)getpid());
	say_write();
	if (*until >= '0' && *until <= '9')
		sleep((unsigned)atol(until));
	else
		while (access(until, F_OK))
			usleep(10000);
	for (long i = 0; i < count; i++)
		free(blocks[i]);
	free(blocks);
	return 0;
}
