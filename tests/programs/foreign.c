/*
 * foreign LIBRARY: blocks that one allocator gives and another one gets back. LIBRARY is loaded with
 * RTLD_DEEPBIND, so that it finds the C library's malloc before anybody else's; "libc" stands for the
 * C library itself, whose functions are looked up there, first without its being loaded by name.
 * Prints what was wrong, and "fine" at the end.
 */
#include <dlfcn.h>
#include <link.h>

#include "tests/programs/say.h"

struct library {
	void *(*malloc)(size_t);
	void (*free)(void *);
	void *(*realloc)(void *, size_t);
	char *(*strdup)(const char *);
};

static void find(struct library *library, void *handle)
{
	library->malloc = (void *(*)(size_t))dlsym(handle, "lib_malloc");
	library->free = (void (*)(void *))dlsym(handle, "lib_free");
	library->realloc = (void *(*)(void *, size_t))dlsym(handle, "lib_realloc");
	library->strdup = (char *(*)(const char *))dlsym(handle, "lib_strdup");
}

/* The C library's own functions, found without any dlopen or dlsym. */
static int find_libc(struct dl_phdr_info *info, size_t bytes, void *library)
{
	const ElfW(Sym) *symbols = NULL;
	const char *strings = NULL;

	(void)bytes;
	if (!strstr(info->dlpi_name, "libc.so"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
			continue;
		for (ElfW(Dyn) *entry = (ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
		     entry->d_tag; entry++) {
			if (entry->d_tag == DT_SYMTAB)
				symbols = (const ElfW(Sym) *)entry->d_un.d_ptr;
			if (entry->d_tag == DT_STRTAB)
				strings = (const char *)entry->d_un.d_ptr;
		}
	}
	for (; (const char *)symbols < strings; symbols++) {
		void *function = (void *)(info->dlpi_addr + symbols->st_value);

		if (!strcmp(strings + symbols->st_name, "malloc"))
			((struct library *)library)->malloc = (void *(*)(size_t))function;
	}
	return 1;
}

static void fill(char *block, size_t bytes, int value)
{
	memset(block, value, bytes);
}

static void check(const char *what, const char *block, size_t bytes, int value)
{
	for (size_t i = 0; i < bytes; i++)
		if (block[i] != value) {
			say("%s: byte %zu of %zu is wrong\n", what, i, bytes);
			return;
		}
}

/* Theirs, given back to ours. */
static void theirs(void *(*their_malloc)(size_t), size_t bytes)
{
	char *block = their_malloc(bytes);

	fill(block, bytes, 1);
	if (malloc_usable_size(block) < bytes)
		say("usable size of %zu bytes\n", bytes);
	free(block);
	block = their_malloc(bytes);
	fill(block, bytes, 2);
	block = realloc(block, bytes * 2);
	check("realloc", block, bytes, 2);
	free(block);
	block = their_malloc(bytes);
	if (realloc(block, 0))
		say("realloc to nothing\n");
}

static void both(const struct library *library, size_t bytes)
{
	char *block;

	theirs(library->malloc, bytes);
	block = malloc(bytes);
	fill(block, bytes, 3);
	library->free(block);
	block = malloc(bytes);
	fill(block, bytes, 4);
	block = library->realloc(block, bytes * 3);
	check("their realloc", block, bytes, 4);
	free(block);
}

int main(int argc, char **argv)
{
	struct library library = { 0 };
	void *handle;

	if (argc < 2)
		return 2;
	if (!strcmp(argv[1], "libc")) {
		dl_iterate_phdr(find_libc, &library);
		for (size_t bytes = 1; bytes < 400000; bytes = bytes * 2 + 1)
			theirs(library.malloc, bytes);
		handle = dlopen("libc.so.6", RTLD_NOW);
		library.malloc = (void *(*)(size_t))dlsym(handle, "malloc");
		library.free = (void (*)(void *))dlsym(handle, "free");
		library.realloc = (void *(*)(void *, size_t))dlsym(handle, "realloc");
		library.strdup = strdup;
	} else {
		handle = dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND);
		if (!handle) {
			say("%s\n", dlerror());
			say_write();
			return 3;
		}
		find(&library, handle);
	}
	for (size_t bytes = 1; bytes < 400000; bytes = bytes * 2 + 1)
		both(&library, bytes);
	free(library.strdup("theirs"));
	library.free(strdup("ours"));
	say("fine\n");
	say_write();
	return 4;
}
