#include "shim/place.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>

#include "shim/modules.h"

struct symbols {
	const ElfW(Sym) * table;
	const char *names;
	uint32_t count;
};

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

static bool symbols_of(const struct link_map *map, struct symbols *ret)
{
	const ElfW(Dyn) *entry = map->l_ld;

	*ret = (struct symbols){ 0 };
	for (; entry && entry->d_tag != DT_NULL; entry++) {
		uintptr_t at = entry->d_un.d_ptr;

		/* The dynamic linker has made addresses of them, in most objects. */
		if (at < map->l_addr)
			at += map->l_addr;
		if (entry->d_tag == DT_SYMTAB)
			ret->table = (const void *)at;
		else if (entry->d_tag == DT_STRTAB)
			ret->names = (const char *)at;
		else if (entry->d_tag == DT_GNU_HASH)
			ret->count = count_by_hash((const uint32_t *)at);
	}
	return ret->table && ret->names;
}

static void find_symbol(const struct link_map *map, uintptr_t offset, struct place *ret)
{
	struct symbols symbols;

	if (!symbols_of(map, &symbols))
		return;
	for (uint32_t i = 0; i < symbols.count; i++) {
		const ElfW(Sym) *symbol = &symbols.table[i];

		if ((symbol->st_info & 15) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
		    offset - 1 - symbol->st_value >= symbol->st_size)
			continue;
		ret->symbol = symbols.names + symbol->st_name;
		ret->symbol_offset = offset - symbol->st_value;
		return;
	}
}

bool ht_place_find(uintptr_t pc, struct place *ret)
{
	const struct link_map *map;

	*ret = (struct place){ .path = ht_module_path(pc - 1, &map) };
	if (!ret->path)
		return false;
	ret->offset = pc - map->l_addr;
	find_symbol(map, ret->offset, ret);
	return true;
}
