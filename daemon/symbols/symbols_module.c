/*
 * One module: is the file still the one that ran, what debug information is there for it, and
 * what do DWARF and the symbol tables say about the request's addresses. libdwfl joins the main
 * file, its separate debug file, .gnu_debugdata (the small table some distributions leave in
 * stripped files) and .dynsym; which files it may open is decided here.
 */
#include "daemon/symbols/name.h"
#include "daemon/symbols/symbols.h"

#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct elf_symbol {
	uint64_t start, end; /* end == start: of unknown size */
	const char *name;
	uint8_t rank; /* which of several names of one place is the best, highest */
};

struct module {
	const struct symbols_request *request;
	struct symbols_sink *sink;
	Dwfl *dwfl;
	char *debug_path; /* of the separate debug file, once found */
	uint64_t *addresses;
	bool *answered;
	struct elf_symbol *symbols;
	size_t symbol_count;
};

/* libdwfl's callbacks have no argument of ours that reaches all of them. */
static struct module *current;

static void module_note(struct module *module, const char *what)
{
	char text[1024];

	snprintf(text, sizeof(text), "symbols of %.600s: %s", module->request->path, what);
	module->sink->note(module->sink, text);
}

static int find_elf_cb(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr base,
		       char **ret_path, Elf **ret_elf)
{
	(void)mod, (void)data, (void)name, (void)base, (void)ret_path, (void)ret_elf;
	return -1;
}

static int find_debuginfo_cb(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr base,
			     const char *path, const char *link, GElf_Word crc, char **ret_path)
{
	int fd;

	(void)mod, (void)data, (void)name, (void)base, (void)path;
	/* A name with a folder, or without a checksum, is that of what several debug files share
	 * (dwz); it lies relative to the file that names it. */
	if (current->debug_path || (link && (!crc || strchr(link, '/')))) {
		const char *from =
			current->debug_path ? current->debug_path : current->request->path;
		const char *slash = strrchr(from, '/');
		char *joined = NULL;

		if (!link)
			return -1;
		if (link[0] == '/' || !slash) {
			fd = symbols_open(link);
		} else {
			if (asprintf(&joined, "%.*s/%s", (int)(slash - from), from, link) < 0)
				return -1;
			fd = symbols_open(joined);
			free(joined);
		}
		return fd < 0 ? -1 : symbols_unpack(fd);
	}
	fd = symbols_find_debug(current->request->path, current->request->build_id,
				link ? link : "", crc, ret_path);
	if (fd < 0)
		return -1;
	current->debug_path = strdup(*ret_path);
	return symbols_unpack(fd);
}

static const Dwfl_Callbacks callbacks = {
	.find_elf = find_elf_cb,
	.find_debuginfo = find_debuginfo_cb,
	.section_address = dwfl_offline_section_address,
};

/* Why `fd` is not the file that ran, in `ret`; "" it is. */
static void file_differs(const struct symbols_request *request, int fd, bool kernel, char *ret,
			 size_t bytes)
{
	char id[160] = "";
	struct stat status;

	ret[0] = '\0';
	if (fd == -EINVAL)
		snprintf(ret, bytes, "not a regular file");
	else if (fd == -ENOENT)
		snprintf(ret, bytes, "the file is gone");
	else if (fd < 0)
		snprintf(ret, bytes, "cannot open it: %s", strerror(-fd));
	else if (symbols_build_id(fd, id, sizeof(id)) < 0)
		snprintf(ret, bytes, "not an ELF file, or a damaged one");
	else if (strcmp(id, request->build_id) != 0 && request->build_id[0])
		snprintf(ret, bytes, "%s",
			 kernel ? "another kernel runs now"
				: "the file was replaced since it ran (its build id differs)");
	else if (!request->build_id[0] && request->mapped_at && fstat(fd, &status) == 0 &&
		 status.st_mtim.tv_sec * 1000000000LL + status.st_mtim.tv_nsec > request->mapped_at)
		snprintf(ret, bytes, "the file was changed since it ran");
}

/* The file that holds the module's code, or failing that its separate debug file, which has the
 * same addresses. Notes why there is none. */
static int module_open(struct module *module)
{
	const struct symbols_request *request = module->request;
	bool kernel =
		strncmp(request->path, SYMBOLS_KERNEL_PREFIX, strlen(SYMBOLS_KERNEL_PREFIX)) == 0;
	char *debug_path = NULL, why[200];
	int fd = request->fd >= 0 ? fcntl(request->fd, F_DUPFD_CLOEXEC, 0) : -ENOENT;

	file_differs(request, fd, false, why, sizeof(why));
	if (why[0]) {
		if (fd >= 0)
			close(fd);
		fd = kernel ? symbols_open_kernel() : symbols_open(request->path);
		file_differs(request, fd, kernel, why, sizeof(why));
	}
	if (!why[0])
		return fd;
	if (fd >= 0)
		close(fd);
	fd = request->build_id[0]
		     ? symbols_find_debug(request->path, request->build_id, "", 0, &debug_path)
		     : -ENOENT;
	module->debug_path = debug_path;
	if (fd < 0)
		module_note(module, why);
	return fd;
}

static int by_address(const void *a, const void *b)
{
	const struct elf_symbol *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return strcmp(y->name, x->name);
}

/* Of the several names libraries give one function, programmers know the exported one with the
 * fewest underscores in front. */
static uint8_t symbol_rank(const GElf_Sym *symbol, const char *name)
{
	unsigned type = GELF_ST_TYPE(symbol->st_info), bind = GELF_ST_BIND(symbol->st_info);
	size_t underscores = strspn(name, "_");
	uint8_t rank = (uint8_t)(underscores > 3 ? 0 : 3 - underscores);

	if (bind != STB_LOCAL)
		rank |= 4;
	if (type == STT_FUNC || type == STT_GNU_IFUNC)
		rank |= 8;
	if (symbol->st_size)
		rank |= 16;
	return rank;
}

static void symbols_load(struct module *module, Dwfl_Module *mod)
{
	int count = dwfl_module_getsymtab(mod);

	if (count <= 0)
		return;
	module->symbols = calloc((size_t)count, sizeof(*module->symbols));
	if (!module->symbols)
		return;
	for (int i = 1; i < count; i++) {
		GElf_Sym symbol;
		GElf_Addr address;
		GElf_Word section;
		Elf *elf;
		const char *name =
			dwfl_module_getsym_info(mod, i, &symbol, &address, &section, &elf, NULL);
		unsigned type = GELF_ST_TYPE(symbol.st_info);

		if (!name || !name[0] || section == SHN_UNDEF || section == SHN_ABS || !address)
			continue;
		if (type != STT_FUNC && type != STT_NOTYPE && type != STT_GNU_IFUNC)
			continue;
		module->symbols[module->symbol_count++] =
			(struct elf_symbol){ address, address + symbol.st_size, name,
					     symbol_rank(&symbol, name) };
	}
	qsort(module->symbols, module->symbol_count, sizeof(*module->symbols), by_address);
}

/* The best symbol that covers `address`. A symbol without size (assembly) reaches to the next. */
static const struct elf_symbol *symbol_at(const struct module *module, uint64_t address)
{
	const struct elf_symbol *best = NULL;
	size_t low = 0, high = module->symbol_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (module->symbols[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	/* Symbols may nest, so the nearest before need not be the one around; but not far. */
	for (size_t i = low, steps = 0; i-- > 0 && steps < 64; steps++) {
		const struct elf_symbol *symbol = &module->symbols[i];

		if (best && symbol->start != best->start)
			break;
		if (symbol->end > symbol->start ? address < symbol->end
						: symbol->start == module->symbols[low - 1].start)
			if (!best || symbol->rank > best->rank)
				best = symbol;
	}
	return best;
}

/* A symbol as it says what function it is, and that function's full name; both malloced. */
struct named {
	char *symbol, *function;
};

static void named_release(struct named *named)
{
	free(named->symbol);
	free(named->function);
	*named = (struct named){ NULL, NULL };
}

/* mangled: NULL unless it is a mangled name. */
static struct named symbol_name(const struct elf_symbol *symbol, bool mangled)
{
	struct named named = { strdup(symbol->name), NULL };

	if (!named.symbol)
		return named;
	name_bare(named.symbol);
	named.function = demangle(named.symbol);
	if (!named.function && !mangled)
		named.function = strdup(named.symbol);
	if (!named.function)
		named_release(&named);
	return named;
}

static void dwarf_found_cb(void *context, size_t index, const struct symbol_level *levels,
			   unsigned count, bool exact)
{
	struct module *module = context;
	struct symbol_level named[SYMBOL_LEVELS_MAX];
	struct symbol_level *outermost = &named[count - 1];
	const struct elf_symbol *symbol;
	struct named name = { NULL, NULL };

	memcpy(named, levels, count * sizeof(*levels));
	if (!outermost->function || !exact) {
		symbol = symbol_at(module, module->addresses[index]);
		if (symbol)
			name = symbol_name(symbol, outermost->function != NULL);
		if (name.function) {
			outermost->function = name.function;
			outermost->symbol = name.symbol;
		}
	}
	module->answered[index] = true;
	module->sink->answer(module->sink, index, SYMBOL_LINE, named, count);
	named_release(&name);
}

static void module_resolve(struct module *module, Dwfl_Module *mod)
{
	const struct symbols_request *request = module->request;
	Dwarf_Addr bias = 0;
	const struct elf_symbol *last = NULL;
	struct named name = { NULL, NULL };

	symbols_load(module, mod);
	if (!request->names_only) {
		Dwarf *dwarf = dwfl_module_getdwarf(mod, &bias);

		if (dwarf)
			symbols_dwarf(dwarf, module->addresses, request->count, dwarf_found_cb,
				      module);
	}
	for (size_t i = 0; i < request->count; i++) {
		const struct elf_symbol *symbol;
		struct symbol_level level = { 0 };

		if (module->answered[i])
			continue;
		symbol = symbol_at(module, module->addresses[i]);
		if (symbol != last) {
			named_release(&name);
			if (symbol)
				name = symbol_name(symbol, false);
			last = symbol;
		}
		level.function = name.function;
		level.symbol = name.symbol;
		module->sink->answer(module->sink, i, name.function ? SYMBOL_NAME : SYMBOL_UNKNOWN,
				     &level, name.function ? 1 : 0);
	}
	named_release(&name);
}

void symbols_module(const struct symbols_request *request, struct symbols_sink *sink)
{
	struct module module = { .request = request, .sink = sink };
	int fd = module_open(&module);
	Dwfl_Module *mod = NULL;

	if (fd < 0)
		goto out;
	module.addresses = calloc(request->count + 1, sizeof(*module.addresses));
	module.answered = calloc(request->count + 1, sizeof(*module.answered));
	if (!module.addresses || !module.answered)
		goto out;
	/* A return address follows the call; the call is what has the line. */
	for (size_t i = 0; i < request->count; i++)
		module.addresses[i] = request->offsets[i] ? request->offsets[i] - 1 : 0;
	fd = symbols_unpack(fd);
	current = &module;
	module.dwfl = dwfl_begin(&callbacks);
	if (module.dwfl) {
		dwfl_report_begin(module.dwfl);
		mod = dwfl_report_elf(module.dwfl, "module", request->path, fd, 0, true);
		dwfl_report_end(module.dwfl, NULL, NULL);
	}
	if (mod) {
		fd = -1; /* libdwfl's now */
		module_resolve(&module, mod);
	} else {
		module_note(&module, dwfl_errmsg(-1));
	}
out:
	if (module.dwfl)
		dwfl_end(module.dwfl);
	current = NULL;
	if (fd >= 0)
		close(fd);
	free(module.debug_path);
	free(module.addresses);
	free(module.answered);
	free(module.symbols);
}
