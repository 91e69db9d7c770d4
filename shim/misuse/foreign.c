#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/wire.h"
#include "shim/alloc/types.h"
#include "shim/clock.h"
#include "shim/control.h"
#include "shim/libc.h"
#include "shim/link.h"
#include "shim/misuse/foreign.h"
#include "shim/record/hello.h"
#include "shim/record/record.h"
#include "shim/ring.h"
#include "shim/stack/modules.h"
#include "shim/sys.h"

static const char *const names[] = {
	"malloc",	   "free",	  "calloc",	   "realloc",
	"reallocarray",	   "memalign",	  "aligned_alloc", "posix_memalign",
	"valloc",	   "pvalloc",	  "cfree",	   "malloc_usable_size",
	"__libc_malloc",   "__libc_free", "__libc_calloc", "__libc_realloc",
	"__libc_memalign",
};
#define NAMES (sizeof(names) / sizeof(names[0]))

static void *(*own_malloc)(size_t);
static size_t (*own_usable_size)(void *);

static void (*next_free)(void *);
static size_t (*next_usable)(void *);
static struct mallinfo2 (*libc_info)(void); /* NULL: the allocator behind us is not libc's */
static bool libc_used;

static const void *base_of(const void *address, const char **ret_path)
{
	Dl_info info;

	if (!address || !ht_libc()->dladdr(address, &info))
		return NULL;
	if (ret_path)
		*ret_path = info.dli_fname;
	return info.dli_fbase;
}

/* An executable that takes a function's address has an entry for it without being where it is. */
static bool is_defined_at(const void *address)
{
	const ElfW(Sym) *symbol = NULL;
	Dl_info info;

	return ht_libc()->dladdr1(address, &info, (void **)(uintptr_t)&symbol, RTLD_DL_SYMENT) &&
	       symbol && symbol->st_shndx != SHN_UNDEF;
}

static void note(const void *address)
{
	const char *path = "";

	base_of(address, &path);
	if (!ht_foreign.names++)
		strncpy(ht_foreign.path, path, sizeof(ht_foreign.path) - 1);
}

static void tell_daemon(const char *path, unsigned symbols)
{
	enum { FRAME_FOREIGN_HEAP = 17 };
	size_t path_bytes = strlen(path);
	uint8_t heads[2][32];
	struct wire_put put = { heads[0] + WIRE_HEADER_BYTES, heads[0] + sizeof(heads[0]), 0 };
	struct wire_put tail = { heads[1], heads[1] + sizeof(heads[1]), 0 };
	uint32_t payload;
	size_t body;
	int error;

	wire_put_uint(&tail, 3, symbols);
	wire_put_fixed64(&tail, 1, ht_clock_ticks());
	body = wire_head_bytes(path_bytes) + path_bytes + (size_t)(tail.at - heads[1]);
	wire_put_head(&put, FRAME_FOREIGN_HEAP, body);
	payload = (uint32_t)((size_t)(put.at - heads[0]) - WIRE_HEADER_BYTES + body);
	memcpy(heads[0], &payload, sizeof(payload));
	wire_put_head(&put, 2, path_bytes);
	do {
		struct iovec parts[] = { { heads[0], (size_t)(put.at - heads[0]) },
					 { (void *)(uintptr_t)path, path_bytes },
					 { heads[1], (size_t)(tail.at - heads[1]) } };
		struct link_hold hold;

		ht_link_lock(&hold);
		error = ht_link_send(parts, 3);
		ht_link_unlock(&hold);
		if (error == -EAGAIN)
			ht_link_wait();
	} while (error == -EAGAIN);
}

void ht_foreign_namespace(void *handle, const char *file)
{
	const void *us = base_of(&ht_foreign, NULL);
	const struct link_map *map = NULL;
	unsigned symbols = 0;

	if (ht_link.state != LINK_ON || sys_call0(SYS_getpid) != ht_pid)
		return;
	for (unsigned i = 0; handle && i < NAMES; i++) {
		const void *found = ht_libc()->dlsym(handle, names[i]);

		symbols += found && base_of(found, NULL) != us;
	}
	if (handle)
		ht_libc()->dlerror(); /* of names that are not there */
	if (handle && !symbols)
		return;
	if (handle && ht_libc()->dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && *map->l_name)
		file = map->l_name;
	tell_daemon(ht_path_keep(file), symbols ? symbols : NAMES);
}

void ht_foreign_init(void *(*malloc_of_ours)(size_t), size_t (*usable_size_of_ours)(void *))
{
	const void *us = base_of(&ht_foreign, NULL), *next, *new;

	own_malloc = malloc_of_ours;
	own_usable_size = usable_size_of_ours;
	for (unsigned i = 0; i < NAMES; i++) {
		const void *found = ht_libc()->dlsym(RTLD_DEFAULT, names[i]);

		if (found && base_of(found, NULL) != us && is_defined_at(found))
			note(found);
	}
	next_free = (void (*)(void *))ht_libc()->dlsym(RTLD_NEXT, "free");
	next_usable = (size_t(*)(void *))ht_libc()->dlsym(RTLD_NEXT, "malloc_usable_size");
	next = base_of((const void *)(uintptr_t)next_free, NULL);
	if (next == base_of((const void *)(uintptr_t)ht_libc()->gnu_get_libc_version, NULL)) {
		libc_info = (struct mallinfo2(*)(void))ht_libc()->dlsym(RTLD_NEXT, "mallinfo2");
		return;
	}
	/* A library whose malloc lies behind ours may serve operator new all the same. */
	if (!next)
		return;
	new = ht_libc()->dlsym(RTLD_DEFAULT, "_Znwm");
	if (new &&base_of(new, NULL) == next)
		note(new);
	else if (!new)
		ht_libc()->dlerror(); /* not the program's to see */
}

bool ht_foreign_replaces(void)
{
	return own_usable_size(HT_OWN_PROBE) != HT_OWN_ANSWER;
}

/* The kernel looks before it says that the first argument makes no sense. */
static bool is_readable(const void *p)
{
	return p && sys_call4(SYS_rt_sigprocmask, ~0u >> 1, p, 0, 8) != -EFAULT;
}

/* The word before a block of the C library's holds the size and three marks. */
static bool looks_like_libc(const void *p)
{
	const size_t *head = (const size_t *)p - 1;
	size_t bytes;

	if ((uintptr_t)p % BLOCK_ALIGN || !is_readable(head))
		return false;
	bytes = *head & ~(size_t)7;
	return bytes >= 32 && bytes < (size_t)1 << 47 && bytes % BLOCK_ALIGN == 0;
}

bool ht_foreign_owns(const void *p)
{
	if (!next_free)
		return false;
	if (!libc_info)
		return true;
	if (!libc_used) {
		struct mallinfo2 info = libc_info();

		libc_used = info.arena + info.hblkhd > 0;
	}
	return libc_used && looks_like_libc(p);
}

void ht_foreign_free(void *p)
{
	ht_loss_add(LOSS_FOREIGN_FREES, 1);
	next_free(p);
}

size_t ht_foreign_usable(void *p)
{
	return next_usable ? next_usable(p) : 0;
}

void *ht_foreign_realloc(void *p, size_t size_bytes)
{
	size_t usable;
	void *block;

	if (!ht_foreign_owns(p))
		return NULL;
	if (size_bytes == 0) {
		ht_foreign_free(p);
		return NULL;
	}
	usable = ht_foreign_usable(p);
	block = own_malloc(size_bytes);
	if (!block)
		return NULL;
	memcpy(block, p, usable < size_bytes ? usable : size_bytes);
	ht_foreign_free(p);
	return block;
}

/* An object's dynamic symbols; their strings follow them. */
static size_t symbols_of(const struct link_map *map, ElfW(Sym) * *ret_symbols,
			 const char **ret_strings)
{
	ElfW(Addr) symbols = 0, strings = 0;

	for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
		if (entry->d_tag == DT_SYMTAB)
			symbols = entry->d_un.d_ptr;
		else if (entry->d_tag == DT_STRTAB)
			strings = entry->d_un.d_ptr;
	}
	*ret_symbols = (ElfW(Sym) *)symbols;
	*ret_strings = (const char *)strings;
	return symbols && strings > symbols ? (strings - symbols) / sizeof(ElfW(Sym)) : 0;
}

struct object {
	const struct link_map *map;
	ElfW(Sym) * symbols;
	const char *strings;
	size_t count;
};

static bool object_of(const void *address, struct object *ret)
{
	struct link_map *map = NULL;
	Dl_info info;

	if (!ht_libc()->dladdr1(address, &info, (void **)(uintptr_t)&map, RTLD_DL_LINKMAP) || !map)
		return false;
	ret->map = map;
	ret->count = symbols_of(map, &ret->symbols, &ret->strings);
	return ret->count > 0;
}

static bool is_function(const ElfW(Sym) * symbol)
{
	return symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC;
}

/* Our function of that name, 0 when it is none of malloc's family. What the whole program means by
 * the name may be an entry of the executable's that leads to ours. */
static ElfW(Addr) ours(const struct object *us, const char *name)
{
	unsigned i = 0;

	while (i < NAMES && (*name != *names[i] || strcmp(name, names[i]) != 0))
		i++;
	for (size_t n = 0; i < NAMES && n < us->count; n++)
		if (is_function(&us->symbols[n]) &&
		    !strcmp(name, us->strings + us->symbols[n].st_name))
			return us->map->l_addr + us->symbols[n].st_value;
	return 0;
}

void ht_foreign_rename(void)
{
	static uint32_t done;
	struct object us, libc;
	char *start;
	size_t bytes;

	/* With an allocator of the program's own there would be nothing to gain. */
	if (!libc_info || ht_foreign.names || __atomic_exchange_n(&done, 1, __ATOMIC_RELAXED) ||
	    !object_of(&ht_foreign, &us) || !object_of((const void *)(uintptr_t)next_free, &libc))
		return;
	start = (char *)((uintptr_t)libc.symbols & ~(PAGE_BYTES - 1));
	bytes = (size_t)((char *)(libc.symbols + libc.count) - start);
	if (sys_call3(SYS_mprotect, start, bytes, PROT_READ | PROT_WRITE) < 0)
		return;
	for (size_t i = 0; i < libc.count; i++) {
		ElfW(Sym) *symbol = &libc.symbols[i];
		ElfW(Addr) address =
			is_function(symbol) ? ours(&us, libc.strings + symbol->st_name) : 0;

		if (address)
			__atomic_store_n(&symbol->st_value, address - libc.map->l_addr,
					 __ATOMIC_RELAXED);
	}
	sys_call3(SYS_mprotect, start, bytes, PROT_READ);
}
