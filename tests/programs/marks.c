/* Names moments of its history: marks N marks, of a shared object, and of a child that it forks. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/api/heaptape.h"

int main(int argc, char **argv)
{
	static char longer[1000];
	void *blocks[10];
	int status = 0;

	heaptape_mark("nothing yet");
	for (int i = 0; i < 10; i++)
		blocks[i] = malloc(1000);
	errno = EXDEV;
	heaptape_mark("ten \"blocks\"");
	heaptape_mark(NULL);
	if (errno != EXDEV)
		return 1;
	for (int i = 0; i < 5; i++)
		free(blocks[i]);
	for (size_t i = 0; i < sizeof(longer) - 1; i++)
		longer[i] = 'x';
	heaptape_mark(longer);
	if (argc > 1) {
		void *object = dlopen(argv[1], RTLD_NOW);
		void (*mark)(void) = NULL;

		if (object)
			*(void **)&mark = dlsym(object, "mark");

		if (!mark)
			return 2;
		mark();
	}
	if (fork() == 0) {
		heaptape_mark("of the child");
		_exit(0);
	}
	wait(&status);
	heaptape_mark("again");
	heaptape_mark("again");
	puts("done");
	return status;
}
