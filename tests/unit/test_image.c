/* What a program file is, told by its bytes: made ones, so that each can be wrong in one place. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/image.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OURSELVES IMAGE_SANITIZER
#else
#define OURSELVES IMAGE_RECORDABLE
#endif
#ifdef __x86_64__
#define MACHINE EM_X86_64
#else
#define MACHINE EM_AARCH64
#endif

#define GLIBC "/lib64/ld-linux-x86-64.so.2"
#define SYMBOLS_MAX 16
#define BASE 0x400000u

enum style { GNU, SYSV, NO_HASH };

struct symbol {
	const char *name;
	bool defined, weak;
};

struct recipe {
	const char *interpreter; /* NULL: none */
	const char *needed;
	enum style style;
	struct symbol symbols[SYMBOLS_MAX];
};

/* The file, and where its parts are. */
struct made {
	unsigned char bytes[4096];
	size_t used;
	Elf64_Ehdr *head;
	Elf64_Phdr *load, *interpreter, *dynamic;
	Elf64_Dyn *entries;
	size_t hash_at, symbols_at;
};

static long calls, call_limit;

static long call(long number, long a, long b, long c, long d, long e)
{
	long ret;

	calls++;
	if (call_limit && calls > call_limit)
		fail_msg("more than %ld system calls", call_limit);
	ret = syscall(number, a, b, c, d, e);
	return ret < 0 ? -errno : ret;
}

static size_t put(struct made *made, const void *bytes, size_t count)
{
	size_t at = (made->used + 7) & ~(size_t)7;

	assert_true(at + count <= sizeof(made->bytes));
	if (bytes)
		memcpy(made->bytes + at, bytes, count);
	made->used = at + count;
	return at;
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t hash = 5381;

	for (; *name; name++)
		hash = hash * 33 + (unsigned char)*name;
	return hash;
}

/* As the ABI writes it down. */
static uint32_t sysv_hash(const char *name)
{
	uint32_t hash = 0, high;

	for (; *name; name++) {
		hash = (hash << 4) + (unsigned char)*name;
		high = hash & 0xf0000000u;
		if (high)
			hash ^= high >> 24;
		hash &= ~high;
	}
	return hash;
}

static unsigned bucket_of(const struct symbol *symbol)
{
	return symbol->defined ? 1 + gnu_hash(symbol->name) % 2 : 0;
}

/* The undefined ones, then each bucket's. */
static unsigned sort_symbols(const struct symbol *from, struct symbol *to)
{
	unsigned count = 0;

	for (unsigned bucket = 0; bucket < 3; bucket++)
		for (unsigned i = 0; i < SYMBOLS_MAX && from[i].name; i++)
			if (bucket_of(&from[i]) == bucket)
				to[count++] = from[i];
	return count;
}

static void put_gnu_hash(struct made *made, const struct symbol *symbols, unsigned count)
{
	struct {
		uint32_t buckets, first, words, shift;
		uint64_t bloom;
		uint32_t bucket[2], chain[SYMBOLS_MAX];
	} table = { 2, 1, 1, 6, 0, { 0, 0 }, { 0 } };

	while (table.first <= count && !symbols[table.first - 1].defined)
		table.first++;
	for (unsigned i = table.first; i <= count; i++) {
		uint32_t hash = gnu_hash(symbols[i - 1].name);
		bool last = i == count || bucket_of(&symbols[i]) != bucket_of(&symbols[i - 1]);

		table.bloom |= 1ull << hash % 64 | 1ull << (hash >> 6) % 64;
		if (!table.bucket[hash % 2])
			table.bucket[hash % 2] = i;
		table.chain[i - table.first] = (hash & ~1u) | last;
	}
	made->hash_at = put(made, &table, sizeof(table));
}

static void put_sysv_hash(struct made *made, const struct symbol *symbols, unsigned count)
{
	struct {
		uint32_t buckets, chains, bucket[3], chain[SYMBOLS_MAX + 1];
	} table = { 3, count + 1, { 0 }, { 0 } };

	for (unsigned i = 1; i <= count; i++) {
		uint32_t *bucket = &table.bucket[sysv_hash(symbols[i - 1].name) % 3];

		table.chain[i] = *bucket;
		*bucket = i;
	}
	made->hash_at = put(made, &table, sizeof(table));
}

static void put_dynamic(struct made *made, const struct recipe *recipe, Elf64_Phdr *segment)
{
	struct symbol symbols[SYMBOLS_MAX];
	unsigned count = sort_symbols(recipe->symbols, symbols), entries = 0;
	Elf64_Sym table[SYMBOLS_MAX + 1] = { 0 };
	Elf64_Dyn dynamic[6] = { 0 };
	char strings[1024] = "";
	size_t used = 1, needed_at = 0, strings_at;

	for (unsigned i = 0; i < count; i++) {
		table[i + 1] = (Elf64_Sym){
			.st_name = (uint32_t)used,
			.st_info = ELF64_ST_INFO(symbols[i].weak ? STB_WEAK : STB_GLOBAL, STT_FUNC),
			.st_shndx = symbols[i].defined ? 1 : SHN_UNDEF,
		};
		used += (size_t)sprintf(strings + used, "%s", symbols[i].name) + 1;
	}
	if (recipe->needed) {
		needed_at = used;
		used += (size_t)sprintf(strings + used, "%s", recipe->needed) + 1;
	}
	if (recipe->style == GNU)
		put_gnu_hash(made, symbols, count);
	else
		put_sysv_hash(made, symbols, count);
	made->symbols_at = put(made, table, (count + 1) * sizeof(*table));
	if (recipe->style != NO_HASH)
		dynamic[entries++] = (Elf64_Dyn){ recipe->style == GNU ? DT_GNU_HASH : DT_HASH,
						  { BASE + made->hash_at } };
	dynamic[entries++] = (Elf64_Dyn){ DT_SYMTAB, { BASE + made->symbols_at } };
	segment->p_offset = put(made, NULL, sizeof(dynamic));
	/* The strings are the last bytes of the file: nothing may be read beyond them. */
	strings_at = put(made, strings, used);
	dynamic[entries++] = (Elf64_Dyn){ DT_STRTAB, { BASE + strings_at } };
	if (needed_at)
		dynamic[entries++] = (Elf64_Dyn){ DT_NEEDED, { needed_at } };
	memcpy(made->bytes + segment->p_offset, dynamic, sizeof(dynamic));
	segment->p_filesz = sizeof(dynamic);
}

static void make(struct made *made, const struct recipe *recipe)
{
	Elf64_Ehdr head = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					 ELFDATA2LSB, EV_CURRENT },
			    .e_type = ET_DYN,
			    .e_machine = MACHINE,
			    .e_phentsize = sizeof(Elf64_Phdr),
			    .e_phnum = 3 };

	memset(made, 0, sizeof(*made));
	made->head = (Elf64_Ehdr *)made->bytes;
	put(made, &head, sizeof(head));
	made->head->e_phoff = put(made, NULL, 3 * sizeof(Elf64_Phdr));
	made->load = (Elf64_Phdr *)(made->bytes + made->head->e_phoff);
	made->dynamic = made->load + 1;
	made->interpreter = made->load + 2;
	made->dynamic->p_type = PT_DYNAMIC;
	if (recipe->interpreter) {
		made->interpreter->p_type = PT_INTERP;
		made->interpreter->p_filesz = strlen(recipe->interpreter) + 1;
		made->interpreter->p_offset =
			put(made, recipe->interpreter, made->interpreter->p_filesz);
	}
	put_dynamic(made, recipe, made->dynamic);
	made->entries = (Elf64_Dyn *)(made->bytes + made->dynamic->p_offset);
	*made->load = (Elf64_Phdr){ .p_type = PT_LOAD, .p_vaddr = BASE, .p_filesz = made->used };
}

static enum image_reason look(const void *bytes, size_t count)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	struct image image;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, count), count);
	calls = 0;
	image_look(call, fd, "", &image);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC); /* still open: it is the caller's */
	close(fd);
	return image.reason;
}

static enum image_reason look_at(const struct recipe *recipe)
{
	struct made made;

	make(&made, recipe);
	return look(made.bytes, made.used);
}

static void test_kinds(void **state)
{
	struct recipe ordinary = { GLIBC, "libc.so.6", GNU, { { "main", true, false } } };
	struct recipe fixed = { .interpreter = NULL };
	struct recipe musl = {
		"/lib/ld-musl-x86_64.so.1", "libc.so", GNU, { { "x", true, false } }
	};
	struct made made;

	(void)state;
	assert_int_equal(look_at(&ordinary), IMAGE_RECORDABLE);
	assert_int_equal(look_at(&musl), IMAGE_MUSL);
	/* A static program may have a dynamic section (static-pie), or not. */
	assert_int_equal(look_at(&fixed), IMAGE_STATIC);
	make(&made, &fixed);
	made.dynamic->p_type = PT_NULL;
	assert_int_equal(look(made.bytes, made.used), IMAGE_STATIC);
	make(&made, &ordinary);
	made.head->e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(look(made.bytes, made.used), IMAGE_MACHINE);
	make(&made, &ordinary);
	made.head->e_ident[EI_DATA] = ELFDATA2MSB;
	assert_int_equal(look(made.bytes, made.used), IMAGE_MACHINE);
	make(&made, &ordinary);
	made.head->e_machine = EM_RISCV;
	assert_int_equal(look(made.bytes, made.used), IMAGE_MACHINE);
	assert_int_equal(look("", 0), IMAGE_RECORDABLE);
	assert_int_equal(look("echo\n", 5), IMAGE_RECORDABLE);
	assert_int_equal(look("#!", 2), IMAGE_RECORDABLE);
}

static void test_sanitizers(void **state)
{
#define TRACES                                                 \
	{ "malloc", true, true }, { "sigaction", true, true }, \
	{                                                      \
		"__sanitizer_symbolize_code", false, true      \
	}
	static const struct {
		const char *what;
		struct symbol symbols[SYMBOLS_MAX];
		enum image_reason reason;
	} cases[] = {
		{ "none", { { "main", true, false } }, IMAGE_RECORDABLE },
		{ "clang asan",
		  { { "main", true, false }, { "__asan_init", true, false } },
		  IMAGE_SANITIZER },
		{ "clang msan", { { "__msan_init", true, false } }, IMAGE_SANITIZER },
		{ "asan in a library", { { "__asan_init", false, false } }, IMAGE_RECORDABLE },
		{ "gcc", { TRACES }, IMAGE_SANITIZER },
		{ "gcc, and more",
		  { { "free", true, true },
		    { "memcpy", false, false },
		    { "puts", false, false },
		    { "abort", false, false },
		    TRACES,
		    { "calloc", true, true } },
		  IMAGE_SANITIZER },
		{ "gcc undefined",
		  { { "sigaction", true, true }, { "__sanitizer_symbolize_code", false, true } },
		  IMAGE_RECORDABLE },
		{ "another allocator",
		  { { "malloc", true, false },
		    { "sigaction", true, true },
		    { "__sanitizer_symbolize_code", false, true } },
		  IMAGE_RECORDABLE },
		{ "weak, but no more",
		  { { "malloc", true, true }, { "sigaction", true, true } },
		  IMAGE_RECORDABLE },
		{ "it helps a runtime",
		  { { "malloc", true, true },
		    { "sigaction", true, true },
		    { "__sanitizer_symbolize_code", true, true } },
		  IMAGE_RECORDABLE },
		{ "a longer name",
		  { { "malloc", true, true },
		    { "sigaction", true, true },
		    { "__sanitizer_symbolize_code_of_mine", false, true } },
		  IMAGE_RECORDABLE },
	};
	static const struct {
		const char *library;
		enum image_reason reason;
	} needed[] = {
		{ "libasan.so.8", IMAGE_SANITIZER },
		{ "libubsan.so.1", IMAGE_RECORDABLE },
		{ "libclang_rt.asan-x86_64.so", IMAGE_SANITIZER },
		{ "libclang_rt.ubsan_standalone-x86_64.so", IMAGE_RECORDABLE },
		{ "mylibasan.so", IMAGE_RECORDABLE },
		{ "l", IMAGE_RECORDABLE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		for (enum style style = GNU; style <= NO_HASH; style++) {
			struct recipe recipe = { GLIBC, NULL, style, { { 0 } } };
			enum image_reason reason =
				style == NO_HASH ? IMAGE_RECORDABLE : cases[i].reason;

			memcpy(recipe.symbols, cases[i].symbols, sizeof(recipe.symbols));
			if (look_at(&recipe) != reason)
				fail_msg("%s, style %d", cases[i].what, style);
		}
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		struct recipe recipe = { GLIBC, needed[i].library, GNU, { { "x", true, false } } };

		if (look_at(&recipe) != needed[i].reason)
			fail_msg("%s", needed[i].library);
	}
	assert_true(image_list_has_checker("/a/libx.so:/usr/lib/libasan.so.8"));
	assert_true(image_list_has_checker("libm.so libtsan.so.2"));
	assert_false(image_list_has_checker("/usr/lib/libubsan.so.1:/libasan.d/x.so"));
}

static const struct recipe sanitized = {
	GLIBC, "libc.so.6", GNU, { TRACES, { "main", true, false }, { "free", true, true } }
};

/* No end of a file is the end of the test. */
static void test_truncated(void **state)
{
	struct recipe recipe = sanitized;
	struct made made;

	(void)state;
	for (recipe.style = GNU; recipe.style <= SYSV; recipe.style++) {
		make(&made, &recipe);
		for (size_t bytes = 0; bytes <= made.used; bytes++) {
			enum image_reason reason = look(made.bytes, bytes);

			if (reason >= IMAGE_REASON_COUNT ||
			    (bytes < sizeof(Elf64_Ehdr) && reason != IMAGE_RECORDABLE))
				fail_msg("%zu of %zu bytes: %u", bytes, made.used, reason);
		}
		assert_int_equal(look(made.bytes, made.used), IMAGE_SANITIZER);
	}
}

/* Sizes and offsets that cannot be: no endless work, and no reading elsewhere. */
static void test_hostile(void **state)
{
	static const uint64_t values[] = {
		0,	    1,	       7,	   0xff,	   0xffff,    0x7fffffff,
		0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX - 7, UINT64_MAX
	};
	struct recipe recipe = sanitized;
	struct made made, wrong;

	(void)state;
	call_limit = 100000;
	for (recipe.style = GNU; recipe.style <= SYSV; recipe.style++) {
		make(&made, &recipe);
		for (size_t at = 0; at + 8 <= made.used; at += 4)
			for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
				for (size_t width = 2; width <= 8; width *= 2) {
					wrong = made;
					memcpy(wrong.bytes + at, &values[i], width);
					if (look(wrong.bytes, wrong.used) >= IMAGE_REASON_COUNT)
						fail_msg("at %zu", at);
				}
	}
	/* A chain that ends nowhere, and as many undefined names as can be said. */
	make(&made, &recipe);
	recipe.style = GNU;
	make(&made, &recipe);
	((uint32_t *)(made.bytes + made.hash_at))[1] = UINT32_MAX;
	look(made.bytes, made.used);
	recipe.style = SYSV;
	make(&made, &recipe);
	for (unsigned i = 2; i < 5 + SYMBOLS_MAX; i++)
		((uint32_t *)(made.bytes + made.hash_at))[i] = 1;
	look(made.bytes, made.used);
	call_limit = 0;
}

static void test_files(void **state)
{
	char path[] = "/tmp/heaptape-image.XXXXXX";
	int fd = mkstemp(path);
	struct image image;
	struct stat status;
	struct made made;

	(void)state;
	image_look(call, AT_FDCWD, "/proc/self/exe", &image);
	assert_int_equal(image.reason, OURSELVES);
	assert_int_equal(stat("/proc/self/exe", &status), 0);
	assert_int_equal(image.inode, status.st_ino);
	image_look(call, AT_FDCWD, "/nonexistent", &image);
	assert_int_equal(image.reason, IMAGE_RECORDABLE);
	assert_int_equal(image.inode, 0);
	image_look(call, AT_FDCWD, "/tmp", &image);
	assert_int_equal(image.reason, IMAGE_RECORDABLE);

	/* A script is what its interpreter is; one that names itself comes to an end. */
	assert_true(fd >= 0);
	make(&made, &(struct recipe){ .interpreter = NULL });
	assert_int_equal(write(fd, made.bytes, made.used), made.used);
	{
		char text[100];
		int bytes = snprintf(text, sizeof(text), "#! \t%s argument\n", path);

		assert_int_equal(look(text, (size_t)bytes), IMAGE_STATIC);
		assert_int_equal(pwrite(fd, text, (size_t)bytes, 0), bytes);
		image_look(call, AT_FDCWD, path, &image);
		assert_int_equal(image.reason, IMAGE_RECORDABLE);
	}
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),	  cmocka_unit_test(test_sanitizers),
		cmocka_unit_test(test_truncated), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
