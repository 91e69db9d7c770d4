/* steady BLOCKS SECONDS: allocates, says so, waits, then frees and ends. For live views and kills. */
#include "tests/programs/say.h"

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 100;
	long seconds = argc > 2 ? atol(argv[2]) : 1;
	void **blocks = malloc((size_t)count * sizeof(*blocks));

	for (long i = 0; i < count; i++)
		blocks[i] = malloc(555);
	say("ready %d\n", (int)getpid());
	say_write();
	sleep((unsigned)seconds);
	for (long i = 0; i < count; i++)
		free(blocks[i]);
	free(blocks);
	return 0;
}
