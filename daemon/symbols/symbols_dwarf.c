/*
 * DWARF: many addresses of one file in one pass. Units are matched to addresses first, by their
 * own ranges (.debug_aranges is optional and some compilers leave it out); only units that cover
 * an address are read further, and of those only the functions that do.
 *
 * Over libdw, and not by its dwarf_getscopes() and dwfl_module_getsrc(): these begin again for each address.
 */
#include "daemon/symbols/name.h"
#include "daemon/symbols/symbols.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIE_DEPTH_MAX 256
#define NO_NODE (-1)

/* A function or inlined function that covers some address; a chain of these up the parents is the
 * inlining at an address. The name is worked out once, however many addresses lie inside. */
struct node {
	Dwarf_Die die;
	int parent;
	char *function, *symbol;
	bool named, exact;
};

/* An address with the unit that covers it. */
struct entry {
	uint64_t address;
	size_t index;
	size_t unit;
	int node; /* innermost */
};

struct unit {
	Dwarf_Die die;	  /* has the line table */
	Dwarf_Die subdie; /* has the functions: another one with split DWARF */
};

/* A file as the line table names it, and with the folder it was compiled in before it. */
struct path {
	const char *named;
	char *full;
};

struct pass {
	struct entry *entries; /* of one unit, ascending by address */
	size_t count;
	struct node *nodes;
	int node_count, node_capacity;
	struct path *paths;
	size_t path_count;
	const char *folder;
	struct scope_units *scopes;
	bool deep;	/* look for functions inside types and functions too */
	bool qualified; /* the language has namespaces */
};

static int by_unit(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->unit != y->unit)
		return x->unit < y->unit ? -1 : 1;
	return x->address < y->address ? -1 : x->address > y->address;
}

/* The first of ascending entries with an address of at least `address`. */
static size_t entries_from(const struct entry *entries, size_t count, uint64_t address)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (entries[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Gives every address its unit. Returns the units that have any. */
static struct unit *units_match(Dwarf *dwarf, struct entry *entries, size_t count,
				size_t *ret_units)
{
	struct unit *units = NULL;
	size_t unit_count = 0, capacity = 0;
	Dwarf_CU *cu = NULL;
	Dwarf_Die die, subdie;
	uint8_t type;

	while (dwarf_get_units(dwarf, cu, &cu, NULL, &type, &die, &subdie) == 0) {
		ptrdiff_t at = 0;
		Dwarf_Addr base, start, end;
		bool used = false;

		if (type != DW_UT_compile && type != DW_UT_skeleton)
			continue;
		while ((at = dwarf_ranges(&die, at, &base, &start, &end)) > 0) {
			/* Functions the linker threw away are left at 0. */
			if (start == 0)
				continue;
			for (size_t i = entries_from(entries, count, start);
			     i < count && entries[i].address < end; i++) {
				if (entries[i].unit != SIZE_MAX)
					continue;
				entries[i].unit = unit_count;
				used = true;
			}
		}
		if (!used)
			continue;
		if (unit_count == capacity) {
			capacity = capacity ? capacity * 2 : 64;
			units = realloc(units, capacity * sizeof(*units));
			if (!units)
				abort(); /* the worker's end; its parent reports it */
		}
		units[unit_count].die = die;
		units[unit_count].subdie = type == DW_UT_skeleton && subdie.addr ? subdie : die;
		unit_count++;
	}
	*ret_units = unit_count;
	return units;
}

/* Makes `die` the innermost function of the entries it covers within `parent`. Returns its node,
 * NO_NODE when it covers none. */
static int node_cover(struct pass *pass, Dwarf_Die *die, int parent)
{
	int node = NO_NODE;
	ptrdiff_t at = 0;
	Dwarf_Addr base, start, end;

	while ((at = dwarf_ranges(die, at, &base, &start, &end)) > 0) {
		for (size_t i = entries_from(pass->entries, pass->count, start);
		     i < pass->count && pass->entries[i].address < end; i++) {
			if (pass->entries[i].node != parent)
				continue;
			if (node == NO_NODE) {
				if (pass->node_count == pass->node_capacity) {
					pass->node_capacity =
						pass->node_capacity ? pass->node_capacity * 2 : 256;
					pass->nodes =
						realloc(pass->nodes, (size_t)pass->node_capacity *
									     sizeof(*pass->nodes));
					if (!pass->nodes)
						abort();
				}
				node = pass->node_count++;
				pass->nodes[node] = (struct node){ .die = *die, .parent = parent };
			}
			pass->entries[i].node = node;
		}
	}
	return node;
}

/* Whether a block without a function of its own is worth looking into. */
static bool block_covers(struct pass *pass, Dwarf_Die *die, int parent)
{
	ptrdiff_t at = 0;
	Dwarf_Addr base, start, end;
	bool bounded = false;

	while ((at = dwarf_ranges(die, at, &base, &start, &end)) > 0) {
		bounded = true;
		for (size_t i = entries_from(pass->entries, pass->count, start);
		     i < pass->count && pass->entries[i].address < end; i++)
			if (pass->entries[i].node == parent)
				return true;
	}
	return !bounded;
}

/* dwarf_siblingof(), but never backwards: a file may claim to go round in circles. */
static bool die_next(Dwarf_Die *die)
{
	Dwarf_Off here = dwarf_dieoffset(die);
	Dwarf_Die next;

	if (dwarf_siblingof(die, &next) != 0 || dwarf_dieoffset(&next) <= here)
		return false;
	*die = next;
	return true;
}

static void walk(struct pass *pass, Dwarf_Die *outer, int parent, int depth)
{
	Dwarf_Die die;

	if (depth > DIE_DEPTH_MAX || dwarf_child(outer, &die) != 0)
		return;
	do {
		int node;

		switch (dwarf_tag(&die)) {
		case DW_TAG_subprogram:
			node = node_cover(pass, &die, NO_NODE);
			if (node != NO_NODE || pass->deep)
				walk(pass, &die, node, depth + 1);
			break;
		case DW_TAG_inlined_subroutine:
			if (parent == NO_NODE)
				break;
			node = node_cover(pass, &die, parent);
			if (node != NO_NODE)
				walk(pass, &die, node, depth + 1);
			break;
		case DW_TAG_lexical_block:
		case DW_TAG_try_block:
		case DW_TAG_catch_block:
		case DW_TAG_with_stmt:
			if (pass->deep || (parent != NO_NODE && block_covers(pass, &die, parent)))
				walk(pass, &die, parent, depth + 1);
			break;
		case DW_TAG_namespace:
		case DW_TAG_module:
			walk(pass, &die, NO_NODE, depth + 1);
			break;
		case DW_TAG_class_type:
		case DW_TAG_structure_type:
		case DW_TAG_union_type:
		case DW_TAG_interface_type:
		case DW_TAG_enumeration_type:
			if (pass->deep)
				walk(pass, &die, NO_NODE, depth + 1);
			break;
		default:
			break;
		}
	} while (die_next(&die));
}

static const char *die_string(Dwarf_Die *die, unsigned attribute)
{
	Dwarf_Attribute found;

	return dwarf_formstring(dwarf_attr_integrate(die, attribute, &found));
}

/* Follows a concrete or inlined function to where it is declared. */
static void die_declaration(Dwarf_Die *die)
{
	for (int i = 0; i < 16; i++) {
		Dwarf_Attribute found;

		if (!dwarf_attr(die, DW_AT_abstract_origin, &found) &&
		    !dwarf_attr(die, DW_AT_specification, &found))
			return;
		if (!dwarf_formref_die(&found, die))
			return;
	}
}

static const char *node_function(struct pass *pass, struct node *node)
{
	const char *name;
	Dwarf_Die declaration;

	if (node->named)
		return node->function;
	node->named = true;
	name = die_string(&node->die, DW_AT_linkage_name);
	if (!name)
		name = die_string(&node->die, DW_AT_MIPS_linkage_name);
	if (name) {
		node->symbol = strdup(name);
		if (node->symbol)
			name_bare(node->symbol);
		node->function = demangle(node->symbol ? node->symbol : name);
		node->exact = node->function != NULL;
		if (node->function)
			return node->function;
	}
	name = die_string(&node->die, DW_AT_name);
	if (!name)
		return NULL;
	declaration = node->die;
	die_declaration(&declaration);
	node->exact = !pass->qualified;
	node->function =
		pass->qualified ? scope_qualify(pass->scopes, &declaration, name) : strdup(name);
	return node->function;
}

static bool language_is_plain(Dwarf_Die *unit)
{
	switch (dwarf_srclang(unit)) {
	case DW_LANG_C:
	case DW_LANG_C89:
	case DW_LANG_C99:
	case DW_LANG_C11:
	case DW_LANG_Mips_Assembler:
		return true;
	default:
		return false;
	}
}

/* libdw gives one pointer for all mentions of a file within a unit. A folder that is not absolute
 * was made up by whoever built the package; it says nothing that the name does not. */
static const char *full_path(struct pass *pass, const char *named)
{
	struct path *path = NULL, *larger;

	if (!named || !named[0] || strcmp(named, "???") == 0)
		return NULL;
	if (named[0] == '/' || !pass->folder || pass->folder[0] != '/')
		return named;
	for (size_t i = pass->path_count; i-- > 0;)
		if (pass->paths[i].named == named)
			return pass->paths[i].full;
	larger = realloc(pass->paths, (pass->path_count + 1) * sizeof(*larger));
	if (!larger)
		return named;
	pass->paths = larger;
	path = &larger[pass->path_count];
	path->named = named;
	if (asprintf(&path->full, "%s/%s", pass->folder, named) < 0)
		return named;
	pass->path_count++;
	return path->full;
}

/* Where an inlined function was called. */
static void node_call(struct pass *pass, Dwarf_Die *unit, struct node *node,
		      struct symbol_level *ret_level)
{
	Dwarf_Attribute found;
	Dwarf_Word value;
	Dwarf_Files *files;
	size_t file_count;

	if (dwarf_formudata(dwarf_attr(&node->die, DW_AT_call_line, &found), &value) == 0)
		ret_level->line = (uint32_t)value;
	if (dwarf_formudata(dwarf_attr(&node->die, DW_AT_call_file, &found), &value) == 0 &&
	    dwarf_getsrcfiles(unit, &files, &file_count) == 0 && value < file_count)
		ret_level->file = full_path(pass, dwarf_filesrc(files, value, NULL, NULL));
}

static void entry_report(struct pass *pass, struct unit *unit, struct entry *entry,
			 symbols_dwarf_fn *found, void *context)
{
	struct symbol_level levels[SYMBOL_LEVELS_MAX] = { 0 };
	Dwarf_Line *line = dwarf_getsrc_die(&unit->die, entry->address);
	unsigned count = 0;
	bool exact = true;
	int number = 0;

	if (line) {
		levels[0].file = full_path(pass, dwarf_linesrc(line, NULL, NULL));
		if (dwarf_lineno(line, &number) == 0 && number > 0)
			levels[0].line = (uint32_t)number;
	}
	for (int at = entry->node; pass->nodes && at != NO_NODE && count < SYMBOL_LEVELS_MAX;
	     count++) {
		struct node *node = &pass->nodes[at];

		levels[count].function = node_function(pass, node);
		levels[count].symbol = node->symbol;
		exact = node->exact;
		at = node->parent;
		if (at != NO_NODE && count + 1 < SYMBOL_LEVELS_MAX)
			node_call(pass, &unit->subdie, node, &levels[count + 1]);
	}
	if (!count && !line)
		return;
	found(context, entry->index, levels, count ? count : 1, exact);
}

static void unit_resolve(struct pass *pass, struct unit *unit, symbols_dwarf_fn *found,
			 void *context)
{
	bool missing = false;

	pass->folder = die_string(&unit->die, DW_AT_comp_dir);
	pass->qualified = !language_is_plain(&unit->subdie);
	pass->deep = false;
	walk(pass, &unit->subdie, NO_NODE, 0);
	for (size_t i = 0; i < pass->count; i++)
		missing |= pass->entries[i].node == NO_NODE;
	if (missing) {
		pass->deep = true;
		walk(pass, &unit->subdie, NO_NODE, 0);
	}
	for (size_t i = 0; i < pass->count; i++)
		entry_report(pass, unit, &pass->entries[i], found, context);
	for (int i = 0; i < pass->node_count; i++) {
		free(pass->nodes[i].function);
		free(pass->nodes[i].symbol);
	}
	pass->node_count = 0;
	for (size_t i = 0; i < pass->path_count; i++)
		free(pass->paths[i].full);
	pass->path_count = 0;
}

void symbols_dwarf(Dwarf *dwarf, const uint64_t *addresses, size_t count, symbols_dwarf_fn *found,
		   void *context)
{
	struct entry *entries = calloc(count + 1, sizeof(*entries));
	struct pass pass = { .scopes = scope_units_new() };
	struct unit *units;
	size_t unit_count;

	if (!entries || !pass.scopes)
		abort();
	for (size_t i = 0; i < count; i++)
		entries[i] = (struct entry){ addresses[i], i, SIZE_MAX, NO_NODE };
	units = units_match(dwarf, entries, count, &unit_count);
	qsort(entries, count, sizeof(*entries), by_unit);
	for (size_t first = 0, next; first < count && entries[first].unit != SIZE_MAX;
	     first = next) {
		next = first;
		while (next < count && entries[next].unit == entries[first].unit)
			next++;
		pass.entries = entries + first;
		pass.count = next - first;
		unit_resolve(&pass, &units[entries[first].unit], found, context);
	}
	scope_units_free(pass.scopes);
	free(pass.nodes);
	free(pass.paths);
	free(units);
	free(entries);
}
