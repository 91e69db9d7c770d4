#include "shim/stack/place.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>

#include "shim/prim.h"
#include "shim/stack/modules.h"
#include "shim/stack/range.h"
#include "shim/sys.h"

/* Files are read in pieces; of the largest programs that would take too long. */
#define PIECE_SYMBOLS 680
#define SYMBOLS_MOST (1u << 20)
#define SECTIONS_MOST 4096

typedef ElfW(Ehdr) file_header;
typedef ElfW(Shdr) section_header;
typedef ElfW(Sym) symbol_entry;

static bool is_around(const symbol_entry *symbol, uintptr_t offset)
{
	return (symbol->st_info & 15) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
	       offset - 1 - symbol->st_value < symbol->st_size;
}

static bool read_at(long fd, void *to, size_t bytes, uint64_t offset)
{
	return sys_call4(SYS_pread64, fd, to, bytes, offset) == (long)bytes;
}

static bool find_section(long fd, const file_header *file, uint32_t type, section_header *ret)
{
	for (unsigned i = 0; i < file->e_shnum && i < SECTIONS_MOST; i++)
		if (read_at(fd, ret, sizeof(*ret), file->e_shoff + i * sizeof(*ret)) &&
		    ret->sh_type == type)
			return true;
	return false;
}

static bool name_in_file(long fd, const file_header *file, const section_header *table,
			 const symbol_entry *symbol, struct place *ret)
{
	section_header names = { 0 };
	uint64_t at;
	long got;

	if (table->sh_link >= file->e_shnum ||
	    !read_at(fd, &names, sizeof(names), file->e_shoff + table->sh_link * sizeof(names)))
		return false;
	at = names.sh_offset + symbol->st_name;
	got = sys_call4(SYS_pread64, fd, ret->symbol, sizeof(ret->symbol) - 1, at);
	ret->symbol[got > 0 ? got : 0] = '\0';
	return ret->symbol[0] != '\0';
}

static bool find_in_table(long fd, const file_header *file, struct place *ret)
{
	symbol_entry *piece;
	section_header table = { 0 };
	bool found = false;
	uint64_t count;

	if (file->e_shentsize != sizeof(table) || !find_section(fd, file, SHT_SYMTAB, &table))
		return false;
	count = table.sh_size / sizeof(*piece);
	piece = count <= SYMBOLS_MOST ? ht_stack_pages(PIECE_SYMBOLS * sizeof(*piece)) : NULL;
	if (!piece)
		return false;
	for (uint64_t at = 0; at < count && !found; at += PIECE_SYMBOLS) {
		uint64_t left = count - at < PIECE_SYMBOLS ? count - at : PIECE_SYMBOLS;

		if (!read_at(fd, piece, left * sizeof(*piece),
			     table.sh_offset + at * sizeof(*piece)))
			break;
		for (uint64_t i = 0; i < left && !found; i++) {
			if (!is_around(&piece[i], ret->offset))
				continue;
			found = name_in_file(fd, file, &table, &piece[i], ret);
			ret->symbol_offset = ret->offset - piece[i].st_value;
		}
	}
	ht_stack_pages_free(piece, PIECE_SYMBOLS * sizeof(*piece));
	return found;
}

/* By the symbol table of the file, unless that was replaced since. */
static bool find_in_file(const struct module_at *module, struct place *ret)
{
	long fd = prim_may(PRIM_OPEN)
			  ? sys_call4(SYS_openat, AT_FDCWD, module->path, O_RDONLY | O_CLOEXEC, 0)
			  : -EPERM;
	file_header file = { 0 };
	bool found = false;

	if (fd < 0)
		return false;
	if (read_at(fd, &file, sizeof(file), 0) &&
	    memcmp(&file, (const void *)module->start, sizeof(file)) == 0)
		found = find_in_table(fd, &file, ret);
	sys_call1(SYS_close, fd);
	return found;
}

/* The table's length is not written anywhere: the longest chain of the hash table ends it. */
static uint32_t count_by_hash(const uint32_t *hash)
{
	uint32_t buckets = hash[0], first = hash[1], words = hash[2], last = 0;
	const uint32_t *bucket = hash + 4 + words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
	const uint32_t *chain = bucket + buckets;

	for (uint32_t i = 0; i < buckets; i++)
		if (bucket[i] > last)
			last = bucket[i];
	if (last < first)
		return 0;
	while (!(chain[last - first] & 1))
		last++;
	return last + 1;
}

/* By the names the object exports, which are in memory. */
static void find_exported(const struct link_map *map, struct place *ret)
{
	const symbol_entry *table = NULL;
	const char *names = NULL;
	uint32_t count = 0;

	for (const ElfW(Dyn) *entry = map->l_ld; entry && entry->d_tag != DT_NULL; entry++) {
		uintptr_t at = entry->d_un.d_ptr;

		/* The dynamic linker has made addresses of them, in most objects. */
		if (at < map->l_addr)
			at += map->l_addr;
		if (entry->d_tag == DT_SYMTAB)
			table = (const void *)at;
		else if (entry->d_tag == DT_STRTAB)
			names = (const char *)at;
		else if (entry->d_tag == DT_GNU_HASH)
			count = count_by_hash((const uint32_t *)at);
	}
	for (uint32_t i = 0; table && names && i < count; i++) {
		if (!is_around(&table[i], ret->offset))
			continue;
		strncpy(ret->symbol, names + table[i].st_name, sizeof(ret->symbol) - 1);
		ret->symbol_offset = ret->offset - table[i].st_value;
		return;
	}
}

bool ht_place_find(uintptr_t pc, struct place *ret)
{
	struct module_at module;

	*ret = (struct place){ .path = NULL };
	if (!ht_module_at(pc - 1, &module))
		return false;
	ret->path = module.path;
	ret->offset = pc - module.map->l_addr;
	if (!find_in_file(&module, ret)) {
		ret->symbol[0] = '\0';
		find_exported(module.map, ret);
	}
	return true;
}
