/*
 * Names of functions whose linker's name is not in the DWARF: joined from the namespaces, types
 * and functions around the declaration. DWARF has no way up from a DIE, and often no quick way to
 * the next one, so a unit's scopes are listed once, in the order they lie in the file, when the
 * first such name is asked for.
 */
#include "daemon/symbols.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>
#include <string.h>

#define SCOPE_DEPTH_MAX 256

struct scope {
	Dwarf_Off start, end; /* offset of the DIE itself and of the last one looked at inside */
	const char *name;     /* NULL: has none; EMPTY: adds nothing */
	uint32_t parent;      /* index + 1, 0: the unit */
};

struct scope_unit {
	Dwarf_Off offset;
	struct scope *scopes;
	size_t count, capacity;
	bool rust;
};

struct scope_units {
	struct scope_unit *units;
	size_t count;
};

static const char nothing[] = "";

static bool tag_is_type(int tag)
{
	return tag == DW_TAG_class_type || tag == DW_TAG_structure_type ||
	       tag == DW_TAG_union_type || tag == DW_TAG_interface_type ||
	       tag == DW_TAG_enumeration_type;
}

/* Whether functions may be declared inside, and what its name adds to theirs. */
static bool die_scope(Dwarf_Die *die, const char **ret_name)
{
	int tag = dwarf_tag(die);

	if (tag == DW_TAG_namespace) {
		*ret_name = dwarf_diename(die);
		if (!*ret_name)
			*ret_name = "(anonymous namespace)";
	} else if (tag_is_type(tag) || tag == DW_TAG_module) {
		*ret_name = dwarf_diename(die);
	} else if (tag == DW_TAG_subprogram) {
		*ret_name = dwarf_diename(die);
		if (!*ret_name)
			*ret_name = nothing;
	} else if (tag == DW_TAG_lexical_block || tag == DW_TAG_try_block ||
		   tag == DW_TAG_catch_block) {
		*ret_name = nothing;
	} else {
		return false;
	}
	return true;
}

/* Lists the scopes below `outer`; returns the offset of the last DIE seen. */
static Dwarf_Off scopes_list(struct scope_unit *unit, Dwarf_Die *outer, uint32_t parent, int depth)
{
	Dwarf_Off last = dwarf_dieoffset(outer);
	Dwarf_Die die, next;

	if (depth > SCOPE_DEPTH_MAX || dwarf_child(outer, &die) != 0)
		return last;
	for (;;) {
		const char *name;

		last = dwarf_dieoffset(&die);
		if (dwarf_haschildren(&die) > 0 && die_scope(&die, &name)) {
			size_t at = unit->count;

			if (at == unit->capacity) {
				size_t capacity = at ? at * 2 : 256;
				void *larger =
					realloc(unit->scopes, capacity * sizeof(*unit->scopes));

				if (!larger)
					return last;
				unit->scopes = larger;
				unit->capacity = capacity;
			}
			unit->scopes[unit->count++] = (struct scope){ last, last, name, parent };
			last = scopes_list(unit, &die, (uint32_t)at + 1, depth + 1);
			unit->scopes[at].end = last;
		}
		if (dwarf_siblingof(&die, &next) != 0 || dwarf_dieoffset(&next) <= last)
			return last;
		die = next;
	}
}

static struct scope_unit *unit_of(struct scope_units *units, Dwarf_Die *target)
{
	struct scope_unit *unit;
	Dwarf_Die outer;
	Dwarf_Off offset;

	if (!dwarf_diecu(target, &outer, NULL, NULL))
		return NULL;
	offset = dwarf_dieoffset(&outer);
	for (size_t i = units->count; i-- > 0;)
		if (units->units[i].offset == offset)
			return &units->units[i];
	unit = realloc(units->units, (units->count + 1) * sizeof(*unit));
	if (!unit)
		return NULL;
	units->units = unit;
	unit += units->count++;
	*unit = (struct scope_unit){ .offset = offset,
				     .rust = dwarf_srclang(&outer) == DW_LANG_Rust };
	scopes_list(unit, &outer, 0, 0);
	return unit;
}

struct scope_units *scope_units_new(void)
{
	return calloc(1, sizeof(struct scope_units));
}

void scope_units_free(struct scope_units *units)
{
	for (size_t i = 0; i < units->count; i++)
		free(units->units[i].scopes);
	free(units->units);
	free(units);
}

static void prepend(char *text, size_t *at, const char *part, size_t bytes)
{
	if (bytes > *at)
		return;
	*at -= bytes;
	memcpy(text + *at, part, bytes);
}

char *scope_qualify(struct scope_units *units, void *die, const char *name)
{
	static char text[SYMBOL_NAME_MAX];
	Dwarf_Die *target = die;
	struct scope_unit *unit = unit_of(units, target);
	Dwarf_Off offset = dwarf_dieoffset(target);
	size_t low = 0, high = unit ? unit->count : 0, at = sizeof(text);
	const char *generics = strchr(name, '<');
	uint32_t scope;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (unit->scopes[middle].start < offset)
			low = middle + 1;
		else
			high = middle;
	}
	scope = (uint32_t)low;
	/* As Rust's own names have it: path::name::<types>. */
	if (unit && unit->rust && generics && generics > name) {
		prepend(text, &at, generics, strlen(generics));
		prepend(text, &at, "::", 2);
		prepend(text, &at, name, (size_t)(generics - name));
	} else {
		prepend(text, &at, name, strlen(name));
	}
	while (scope) {
		struct scope *outer = &unit->scopes[scope - 1];

		scope = outer->parent;
		if (outer->end < offset || outer->name == nothing)
			continue;
		prepend(text, &at, "::", 2);
		if (outer->name)
			prepend(text, &at, outer->name, strlen(outer->name));
		else if (strcmp(name, "operator()") == 0)
			prepend(text, &at, "{lambda}", 8);
		else
			prepend(text, &at, "(unnamed)", 9);
	}
	return strndup(text + at, sizeof(text) - at);
}
