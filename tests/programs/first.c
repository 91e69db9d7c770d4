/* The smallest program: its first act is malloc(64). Prints the block's address. */
#include "tests/programs/say.h"

int main(void)
{
	void *block = malloc(64);

	say("%lu\n", (unsigned long)(uintptr_t)block);
	say_write();
	return 0;
}
