#include <elf.h>

#include "shim/libc.h"

struct libc ht_libc_found;

/* The dynamic symbols of an object in memory. */
struct symbols {
	uintptr_t bias;
	const ElfW(Sym) * table;
	const char *names;
	const ElfW(Half) * versions;
	const uint32_t *gnu_hash;
	const ElfW(Word) * hash;
};

static struct symbols symbols_of(uintptr_t bias, const ElfW(Dyn) * entry)
{
	struct symbols symbols = { .bias = bias };

	for (; entry && entry->d_tag != DT_NULL; entry++) {
		uintptr_t at = entry->d_un.d_ptr;

		/* The dynamic linker has made addresses of them, in most objects. */
		if (at < bias)
			at += bias;
		switch (entry->d_tag) {
		case DT_SYMTAB:
			symbols.table = (const void *)at;
			break;
		case DT_STRTAB:
			symbols.names = (const char *)at;
			break;
		case DT_VERSYM:
			symbols.versions = (const void *)at;
			break;
		case DT_GNU_HASH:
			symbols.gnu_hash = (const void *)at;
			break;
		case DT_HASH:
			symbols.hash = (const void *)at;
			break;
		default:
			break;
		}
	}
	return symbols;
}

/* Its address when symbol `i` is that function, in the version that is meant now. */
static void *is_it(const struct symbols *symbols, uint32_t i, const char *name)
{
	const ElfW(Sym) *symbol = &symbols->table[i];

	if (symbol->st_shndx == SHN_UNDEF || (symbol->st_info & 15) != STT_FUNC ||
	    (symbols->versions && symbols->versions[i] & 0x8000) ||
	    strcmp(symbols->names + symbol->st_name, name) != 0)
		return NULL;
	return (void *)(symbols->bias + symbol->st_value);
}

static void *find_by_gnu_hash(const struct symbols *symbols, const char *name)
{
	const uint32_t *head = symbols->gnu_hash;
	uint32_t count = head[0], first = head[1], hash = 5381, i;
	const uint32_t *buckets = head + 4 + head[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
	const uint32_t *chain = buckets + count;

	for (const char *c = name; *c; c++)
		hash = hash * 33 + (unsigned char)*c;
	i = count ? buckets[hash % count] : 0;
	if (i < first)
		return NULL;
	for (;; i++) {
		void *found = (chain[i - first] | 1) == (hash | 1) ? is_it(symbols, i, name) : NULL;

		if (found || chain[i - first] & 1)
			return found;
	}
}

static void *find(const struct symbols *symbols, const char *name)
{
	void *found = NULL;

	if (!symbols->table || !symbols->names)
		return NULL;
	if (symbols->gnu_hash)
		return find_by_gnu_hash(symbols, name);
	for (uint32_t i = 0; symbols->hash && i < symbols->hash[1] && !found; i++)
		found = is_it(symbols, i, name);
	return found;
}

static bool is_called(const struct link_map *map, const char *name)
{
	const char *slash = strrchr(map->l_name, '/');

	return strncmp(slash ? slash + 1 : map->l_name, name, strlen(name)) == 0;
}

/* The kernel's own object, which is mapped into every process. */
static void *find_clock(uintptr_t start)
{
	const ElfW(Ehdr) *head = (const void *)start;
	const ElfW(Phdr) * segment;
	const ElfW(Dyn) *dynamic = NULL;
	struct symbols symbols;
	uintptr_t bias = 0;
	void *clock;

	if (!start)
		return NULL;
	segment = (const void *)(start + head->e_phoff);
	for (unsigned i = 0; i < head->e_phnum; i++, segment++) {
		if (segment->p_type == PT_LOAD && !bias)
			bias = start + segment->p_offset - segment->p_vaddr;
		else if (segment->p_type == PT_DYNAMIC)
			dynamic = (const void *)(start + segment->p_offset);
	}
	symbols = symbols_of(bias, dynamic);
	clock = find(&symbols, "__vdso_clock_gettime");
	return clock ? clock : find(&symbols, "__kernel_clock_gettime");
}

void ht_libc_find(void)
{
	struct libc libc = { .found = true };
	struct symbols symbols[2] = { { 0 } };

	for (const struct link_map *map = _r_debug.r_map; map; map = map->l_next) {
		if (is_called(map, "libc.so."))
			symbols[0] = symbols_of(map->l_addr, map->l_ld);
		else if (is_called(map, "ld-linux"))
			symbols[1] = symbols_of(map->l_addr, map->l_ld);
	}
#define LIBC_FIND(name)                                           \
	libc.name = (__typeof__(name) *)find(&symbols[0], #name); \
	if (!libc.name)                                           \
		libc.name = (__typeof__(name) *)find(&symbols[1], #name);
	LIBC_FUNCTIONS(LIBC_FIND)
#undef LIBC_FIND
	if (libc.getauxval)
		libc.clock_gettime = (long (*)(clockid_t, struct timespec *))find_clock(
			libc.getauxval(AT_SYSINFO_EHDR));
	libc.found = false;
	ht_libc_found = libc;
	__atomic_store_n(&ht_libc_found.found, true, __ATOMIC_RELEASE);
}
