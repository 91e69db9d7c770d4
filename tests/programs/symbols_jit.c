/*
 * A function made at run time, which perf-PID.map names and no unwind row describes, calls back
 * into the program, which allocates 100300 bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static __attribute__((noinline)) void allocate(void)
{
	free(malloc(100300));
	__asm__ volatile("" ::: "memory");
}

int main(void)
{
#if defined(__x86_64__)
	/* sub $8, %rsp; call *%rdi; add $8, %rsp; ret */
	static const unsigned char code[] = { 0x48, 0x83, 0xec, 0x08, 0xff, 0xd7,
					      0x48, 0x83, 0xc4, 0x08, 0xc3 };
	char path[64];
	FILE *map;
	void *made = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (made == MAP_FAILED)
		return 1;
	memcpy(made, code, sizeof(code));
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	map = fopen(path, "w");
	if (!map)
		return 1;
	fprintf(map, "%lx %zx made_at_run_time(int)\n", (unsigned long)made, sizeof(code));
	fclose(map);
	((void (*)(void (*)(void)))made)(allocate);
	puts(path);
#else
	allocate();
#endif
	return 0;
}
