#include "proto/image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define SCRIPTS_MAX 4 /* as the kernel does */
#define SEGMENTS_MAX 32u
#define DYNAMIC_MAX 4096u
#define CHAIN_MAX 4096u
#define NAME_BYTES 32u

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OUR_DATA ELFDATA2LSB
#else
#define OUR_DATA ELFDATA2MSB
#endif
#ifdef __x86_64__
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#else
#define OUR_MACHINE EM_NONE
#endif

struct file {
	image_call *call;
	long fd;
	Elf64_Ehdr head;
	Elf64_Phdr segments[SEGMENTS_MAX];
	unsigned segment_count;
};

const char *image_reason_text(unsigned reason)
{
	static const char *const texts[] = {
#define ROW(NAME, text) text,
		IMAGE_REASONS(ROW)
#undef ROW
	};

	return reason < IMAGE_REASON_COUNT ? texts[reason] : "the reason is not known";
}

bool image_bars_shim(enum image_reason reason)
{
	return reason == IMAGE_MACHINE || reason == IMAGE_MUSL || reason == IMAGE_SANITIZER ||
	       reason == IMAGE_CHECKER || reason == IMAGE_DATA_LIMIT ||
	       reason == IMAGE_UNREACHABLE || reason == IMAGE_FILTER;
}

/* `text` begins with `with`. */
static bool begins(const char *text, const char *with)
{
	while (*with && *text == *with) {
		text++;
		with++;
	}
	return !*with;
}

static bool is_same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/* The file name of a library with an allocator of its own. UBSan's has none. */
static bool is_checker(const char *name)
{
	static const char *const libraries[] = { "libasan", "libtsan", "liblsan", "libhwasan" };
	static const char *const runtimes[] = {
		"asan", "tsan", "lsan", "msan", "hwasan", "memprof"
	};

	for (unsigned i = 0; i < sizeof(libraries) / sizeof(*libraries); i++)
		if (begins(name, libraries[i]))
			return true;
	if (!begins(name, "libclang_rt."))
		return false;
	for (unsigned i = 0; i < sizeof(runtimes) / sizeof(*runtimes); i++)
		if (begins(name + sizeof("libclang_rt.") - 1, runtimes[i]))
			return true;
	return false;
}

bool image_list_has_checker(const char *list)
{
	const char *name = list; /* after the last slash */

	for (const char *at = list;; at++) {
		if (*at == '/') {
			name = at + 1;
		} else if (!*at || *at == ':' || *at == ' ') {
			if (is_checker(name))
				return true;
			if (!*at)
				return false;
			name = at + 1;
		}
	}
}

static long read_at(const struct file *file, void *to, uint64_t bytes, uint64_t offset)
{
	return file->call(SYS_pread64, file->fd, (long)to, (long)bytes, (long)offset, 0);
}

static bool read_all(const struct file *file, void *to, uint64_t bytes, uint64_t offset)
{
	return read_at(file, to, bytes, offset) == (long)bytes;
}

/* As much of a string as fits. */
static void read_text(const struct file *file, char *to, uint64_t room, uint64_t offset)
{
	long got = read_at(file, to, room - 1, offset);

	to[got > 0 ? got : 0] = '\0';
}

/* Bytes that will lie at an address. */
static bool read_mapped(const struct file *file, void *to, uint64_t bytes, uint64_t address)
{
	for (unsigned i = 0; i < file->segment_count; i++) {
		const Elf64_Phdr *segment = &file->segments[i];

		if (segment->p_type == PT_LOAD && address - segment->p_vaddr < segment->p_filesz)
			return read_all(file, to, bytes,
					segment->p_offset + (address - segment->p_vaddr));
	}
	return false;
}

/* As much of a string that will lie at an address as fits; "" where there is none. */
static void read_mapped_text(const struct file *file, char *to, uint64_t room, uint64_t address)
{
	to[0] = '\0';
	for (unsigned i = 0; i < file->segment_count; i++) {
		const Elf64_Phdr *segment = &file->segments[i];

		if (segment->p_type == PT_LOAD && address - segment->p_vaddr < segment->p_filesz) {
			read_text(file, to, room, segment->p_offset + (address - segment->p_vaddr));
			return;
		}
	}
}

/* What the dynamic section says of names. */
struct names {
	uint64_t strings, symbols;
	uint64_t gnu_hash; /* of the names that are defined; 0: there is none */
	uint64_t hash;	   /* of all names, in older files; 0: there is none */
};

static bool read_entry(const struct file *file, const Elf64_Phdr *dynamic, unsigned i,
		       Elf64_Dyn *ret)
{
	return i < DYNAMIC_MAX && i < dynamic->p_filesz / sizeof(*ret) &&
	       read_all(file, ret, sizeof(*ret), dynamic->p_offset + i * sizeof(*ret)) &&
	       ret->d_tag != DT_NULL;
}

static bool needs_checker(const struct file *file, const Elf64_Phdr *dynamic, uint64_t strings)
{
	char name[NAME_BYTES];
	Elf64_Dyn entry;

	for (unsigned i = 0; read_entry(file, dynamic, i, &entry); i++) {
		if (entry.d_tag != DT_NEEDED)
			continue;
		read_mapped_text(file, name, sizeof(name), strings + entry.d_un.d_val);
		if (is_checker(name))
			return true;
	}
	return false;
}

/* Reads symbol `index`. True: it has that name. */
static bool is_symbol(const struct file *file, const struct names *names, uint32_t index,
		      const char *name, Elf64_Sym *ret)
{
	char found[NAME_BYTES];

	if (!read_mapped(file, ret, sizeof(*ret), names->symbols + index * (uint64_t)sizeof(*ret)))
		return false;
	read_mapped_text(file, found, sizeof(found), names->strings + ret->st_name);
	return is_same(found, name);
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t hash = 5381;

	while (*name)
		hash = hash * 33 + (unsigned char)*name++;
	return hash;
}

/* The names that are not defined here come first, and in no order. */
static bool gnu_find_undefined(const struct file *file, const struct names *names, uint32_t first,
			       const char *name, Elf64_Sym *ret)
{
	for (uint32_t index = 1; index < first && index < CHAIN_MAX; index++)
		if (is_symbol(file, names, index, name, ret))
			return true;
	return false;
}

static bool gnu_find(const struct file *file, const struct names *names, const char *name,
		     bool defined, Elf64_Sym *ret)
{
	uint32_t head[4], hash = gnu_hash(name), index, link; /* buckets, first, words, shift */
	uint64_t word, buckets, chains;

	if (!read_mapped(file, head, sizeof(head), names->gnu_hash))
		return false;
	if (!defined)
		return gnu_find_undefined(file, names, head[1], name, ret);
	if (!head[0] || !head[2] ||
	    !read_mapped(file, &word, sizeof(word),
			 names->gnu_hash + sizeof(head) + hash / 64 % head[2] * sizeof(word)) ||
	    !(word >> hash % 64 & word >> (hash >> head[3] % 32) % 64 & 1))
		return false;
	buckets = names->gnu_hash + sizeof(head) + head[2] * sizeof(word);
	chains = buckets + head[0] * (uint64_t)sizeof(index);
	if (!read_mapped(file, &index, sizeof(index), buckets + hash % head[0] * sizeof(index)))
		return false;
	for (unsigned i = 0; index >= head[1] && i < CHAIN_MAX; i++, index++) {
		if (!read_mapped(file, &link, sizeof(link),
				 chains + (index - head[1]) * (uint64_t)sizeof(link)))
			return false;
		if ((link | 1) == (hash | 1) && is_symbol(file, names, index, name, ret))
			return true;
		if (link & 1)
			return false;
	}
	return false;
}

static uint32_t sysv_hash(const char *name)
{
	uint32_t hash = 0;

	while (*name) {
		hash = (hash << 4) + (unsigned char)*name++;
		hash ^= hash >> 24 & 0xf0;
	}
	return hash & 0x0fffffff;
}

static bool sysv_find(const struct file *file, const struct names *names, const char *name,
		      Elf64_Sym *ret)
{
	uint32_t head[2], index; /* buckets, symbols */
	uint64_t buckets = names->hash + sizeof(head);

	if (!read_mapped(file, head, sizeof(head), names->hash) || !head[0] ||
	    !read_mapped(file, &index, sizeof(index),
			 buckets + sysv_hash(name) % head[0] * sizeof(index)))
		return false;
	for (unsigned i = 0; index && i < CHAIN_MAX; i++) {
		if (is_symbol(file, names, index, name, ret))
			return true;
		if (!read_mapped(file, &index, sizeof(index),
				 buckets + (head[0] + (uint64_t)index) * sizeof(index)))
			return false;
	}
	return false;
}

/* Has the program such a dynamic symbol, defined by itself or not? By the table in which the dynamic
 * linker looks it up. */
static bool has_symbol(const struct file *file, const struct names *names, const char *name,
		       bool defined, bool weak)
{
	Elf64_Sym symbol;

	if (names->gnu_hash ? !gnu_find(file, names, name, defined, &symbol)
			    : !names->hash || !sysv_find(file, names, name, &symbol))
		return false;
	return (symbol.st_shndx != SHN_UNDEF) == defined &&
	       (!weak || ELF64_ST_BIND(symbol.st_info) == STB_WEAK);
}

/* clang exports the runtime's names. */
static bool exports_runtime(const struct file *file, const struct names *names)
{
	static const char *const starts[] = { "__asan_init", "__tsan_init",   "__lsan_init",
					      "__msan_init", "__hwasan_init", "__memprof_init" };

	for (unsigned i = 0; i < sizeof(starts) / sizeof(*starts); i++)
		if (has_symbol(file, names, starts[i], true, false))
			return true;
	return false;
}

/*
 * gcc does not (-static-libasan), and of a stripped program two traces are left together: an allocator
 * that is defined weakly, as the runtimes do with all they intercept, and the function with which a
 * program may help the runtime to name addresses. UBSan's runtime, which has no allocator, asks for
 * that, too; other allocators are not weak.
 */
static bool holds_runtime(const struct file *file, const struct names *names)
{
	return has_symbol(file, names, "malloc", true, true) &&
	       has_symbol(file, names, "sigaction", true, true) &&
	       has_symbol(file, names, "__sanitizer_symbolize_code", false, true);
}

/* By a library it needs, or the runtime that is linked in. */
static bool is_sanitized(const struct file *file, const Elf64_Phdr *dynamic)
{
	struct names names = { 0 };
	Elf64_Dyn entry;

	for (unsigned i = 0; read_entry(file, dynamic, i, &entry); i++) {
		if (entry.d_tag == DT_STRTAB)
			names.strings = entry.d_un.d_ptr;
		else if (entry.d_tag == DT_SYMTAB)
			names.symbols = entry.d_un.d_ptr;
		else if (entry.d_tag == DT_GNU_HASH)
			names.gnu_hash = entry.d_un.d_ptr;
		else if (entry.d_tag == DT_HASH)
			names.hash = entry.d_un.d_ptr;
	}
	return names.strings && (needs_checker(file, dynamic, names.strings) ||
				 exports_runtime(file, &names) || holds_runtime(file, &names));
}

static bool is_musl(const struct file *file, const Elf64_Phdr *interpreter)
{
	char path[256];

	read_text(file, path, sizeof(path), interpreter->p_offset);
	for (const char *at = path; *at; at++)
		if (begins(at, "/ld-musl"))
			return true;
	return false;
}

static enum image_reason elf_reason(struct file *file)
{
	const Elf64_Phdr *dynamic = NULL, *interpreter = NULL;

	if (file->head.e_ident[EI_CLASS] != ELFCLASS64 || file->head.e_ident[EI_DATA] != OUR_DATA ||
	    file->head.e_machine != OUR_MACHINE)
		return IMAGE_MACHINE;
	file->segment_count = file->head.e_phnum < SEGMENTS_MAX ? file->head.e_phnum : SEGMENTS_MAX;
	if (file->head.e_phentsize != sizeof(*file->segments) ||
	    !read_all(file, file->segments, file->segment_count * sizeof(*file->segments),
		      file->head.e_phoff))
		return IMAGE_RECORDABLE;
	for (unsigned i = 0; i < file->segment_count; i++) {
		if (file->segments[i].p_type == PT_INTERP)
			interpreter = &file->segments[i];
		else if (file->segments[i].p_type == PT_DYNAMIC)
			dynamic = &file->segments[i];
	}
	if (!interpreter)
		return IMAGE_STATIC;
	if (is_musl(file, interpreter))
		return IMAGE_MUSL;
	return dynamic && is_sanitized(file, dynamic) ? IMAGE_SANITIZER : IMAGE_RECORDABLE;
}

/* The dynamic linker ignores LD_PRELOAD when the program gains rights by being executed. */
static enum image_reason rights_reason(const struct file *file, const struct stat *status)
{
	image_call *call = file->call;
	uint32_t user = (uint32_t)call(SYS_getuid, 0, 0, 0, 0, 0);
	uint32_t new_user = (uint32_t)call(SYS_geteuid, 0, 0, 0, 0, 0);
	uint32_t group = (uint32_t)call(SYS_getgid, 0, 0, 0, 0, 0);
	uint32_t new_group = (uint32_t)call(SYS_getegid, 0, 0, 0, 0, 0);
	bool sets_user = status->st_mode & S_ISUID;
	bool sets_group = (status->st_mode & S_ISGID) && (status->st_mode & S_IXGRP);
	bool has_capabilities = user != 0 && call(SYS_fgetxattr, file->fd,
						  (long)"security.capability", 0, 0, 0) > 0;
	struct statfs system;

	if ((sets_user || sets_group || has_capabilities) &&
	    (call(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
	     (call(SYS_fstatfs, file->fd, (long)&system, 0, 0, 0) == 0 &&
	      (system.f_flags & ST_NOSUID))))
		sets_user = sets_group = has_capabilities = false;
	if ((sets_user ? status->st_uid : new_user) != user)
		return sets_user ? IMAGE_SETUID : IMAGE_RIGHTS;
	if ((sets_group ? status->st_gid : new_group) != group)
		return sets_group ? IMAGE_SETGID : IMAGE_RIGHTS;
	return has_capabilities ? IMAGE_CAPABILITIES : IMAGE_RECORDABLE;
}

/* The interpreter that a file beginning with "#!" names; NULL: none. */
static char *interpreter_of(char *text, long bytes)
{
	char *end;

	text[bytes] = '\0';
	if (bytes < 3 || text[0] != '#' || text[1] != '!')
		return NULL;
	for (text += 2; *text == ' ' || *text == '\t'; text++)
		;
	for (end = text; *end && *end != ' ' && *end != '\t' && *end != '\r' && *end != '\n'; end++)
		;
	*end = '\0';
	return *text ? text : NULL;
}

static bool is_elf(const Elf64_Ehdr *head, long bytes)
{
	return bytes >= (long)sizeof(*head) && head->e_ident[0] == ELFMAG0 &&
	       head->e_ident[1] == ELFMAG1 && head->e_ident[2] == ELFMAG2 &&
	       head->e_ident[3] == ELFMAG3;
}

static long open_file(image_call *call, int folder, const char *path)
{
	if (!*path)
		return folder;
	return call(SYS_openat, folder, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, 0);
}

void image_look(image_call *call, int folder, const char *path, struct image *ret_image)
{
	struct file file = { .call = call };
	union {
		Elf64_Ehdr elf;
		char text[257];
	} head;
	struct stat status;

	*ret_image = (struct image){ .reason = IMAGE_RECORDABLE };
	for (int scripts = 0; path && scripts <= SCRIPTS_MAX; scripts++) {
		bool opened = *path != '\0';
		long bytes;

		file.fd = open_file(call, folder, path);
		if (file.fd < 0)
			return;
		bytes = read_at(&file, &head, sizeof(head) - 1, 0);
		path = NULL;
		if (is_elf(&head.elf, bytes) &&
		    call(SYS_fstat, file.fd, (long)&status, 0, 0, 0) == 0) {
			file.head = head.elf;
			ret_image->device = status.st_dev;
			ret_image->inode = status.st_ino;
			ret_image->reason = rights_reason(&file, &status);
			if (ret_image->reason == IMAGE_RECORDABLE)
				ret_image->reason = elf_reason(&file);
		} else if (bytes > 0) {
			path = interpreter_of(head.text, bytes);
		}
		if (opened)
			call(SYS_close, file.fd, 0, 0, 0, 0);
		folder = AT_FDCWD;
	}
}
