/*
 * Does what it is told on stdin, a word a line, and says "done": `first` allocates in a function not
 * called before, and so does each `next`; `load PATH` in a library, `memory PATH` in a copy of it in memory; `make` in code made at run time;
 * `map` writes what that is called for perf(1), and prints the map's path.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *volatile kept;

#define PLACE(name, bytes)                               \
	static __attribute__((noinline)) void name(void) \
	{                                                \
		kept = malloc(bytes);                    \
		__asm__ volatile("" ::: "memory");       \
	}

PLACE(first_place, 100001)
PLACE(called_by_made_code, 100003)
PLACE(place_0, 100010)
PLACE(place_1, 100011)
PLACE(place_2, 100012)
PLACE(place_3, 100013)
PLACE(place_4, 100014)
PLACE(place_5, 100015)
PLACE(place_6, 100016)
PLACE(place_7, 100017)
PLACE(place_8, 100018)
PLACE(place_9, 100019)

static void (*const places[])(void) = { place_0, place_1, place_2, place_3, place_4,
					place_5, place_6, place_7, place_8, place_9 };

/* push %rbp; mov %rsp, %rbp; call *%rdi; pop %rbp; ret */
static const unsigned char code[] = { 0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3 };
static void *made;

static void make(void)
{
#if defined(__x86_64__)
	made = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	if (made == MAP_FAILED)
		exit(1);
	memcpy(made, code, sizeof(code));
	((void (*)(void (*)(void)))made)(called_by_made_code);
	/* Its buffer is sent when it is full. */
	for (int i = 0; i < 20000; i++)
		free(malloc(16));
#endif
}

static void map(void)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	file = fopen(path, "w");
	if (!file)
		exit(1);
	fprintf(file, "%lx %zx made_code\n", (unsigned long)made, sizeof(code));
	fclose(file);
	puts(path);
}

static void load(const char *path)
{
	void *library = dlopen(path, RTLD_NOW);
	void *(*entry)(size_t) = library ? (void *(*)(size_t))dlsym(library, "plugin_entry") : NULL;

	if (!entry) {
		puts(dlerror());
		exit(1);
	}
	kept = entry(100002);
}

/* A library that has no file. */
static void load_from_memory(const char *path)
{
	char buffer[4096], link[64];
	FILE *file = fopen(path, "r");
	int fd = memfd_create("plug", 0);
	size_t got;

	while (file && (got = fread(buffer, 1, sizeof(buffer), file)) > 0)
		if (write(fd, buffer, got) != (ssize_t)got)
			exit(1);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	load(link);
	close(fd);
}

int main(void)
{
	char line[4096];
	unsigned next = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "first"))
			first_place();
		else if (!strcmp(line, "next"))
			places[next++ % 10]();
		else if (!strcmp(line, "make"))
			make();
		else if (!strcmp(line, "map"))
			map();
		else if (!strncmp(line, "load ", 5))
			load(line + 5);
		else if (!strncmp(line, "memory ", 7))
			load_from_memory(line + 7);
		puts("done");
	}
	return 0;
}
