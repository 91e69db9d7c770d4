/*
 * Names of functions whose linker's name is not in the DWARF (members of unnamed namespaces and
 * local types, mostly): put together from the namespaces, types and functions around the
 * declaration, and for C++ the types of the parameters, so that they read like demangled ones.
 *
 * DWARF has no way up from a DIE, and often no quick way to the next one, so a unit's scopes are
 * listed once, in the order they lie in the file, when the first such name is asked for.
 */
#include "daemon/symbols/symbols.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>
#include <string.h>

#define SCOPE_DEPTH_MAX 256
#define TYPE_DEPTH_MAX 24

struct scope {
	Dwarf_Off start, end; /* offset of the DIE itself and of the last one looked at inside */
	const char *name;     /* NULL: has none; nothing: adds nothing */
	uint32_t parent;      /* index + 1, 0: the unit */
	bool type;
};

struct scope_unit {
	Dwarf_Off offset;
	struct scope *scopes;
	size_t count, capacity;
	bool rust, cxx;
};

struct scope_units {
	struct scope_unit *units;
	size_t count;
};

struct text {
	char *bytes;
	size_t used; /* SYMBOL_NAME_MAX at most; more is cut off */
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
			unit->scopes[unit->count++] =
				(struct scope){ last, last, name, parent,
						tag_is_type(dwarf_tag(&die)) };
			last = scopes_list(unit, &die, (uint32_t)at + 1, depth + 1);
			unit->scopes[at].end = last;
		}
		if (dwarf_siblingof(&die, &next) != 0 || dwarf_dieoffset(&next) <= last)
			return last;
		die = next;
	}
}

static bool language_is_cxx(int language)
{
	return language == DW_LANG_C_plus_plus || language == DW_LANG_C_plus_plus_03 ||
	       language == DW_LANG_C_plus_plus_11 || language == DW_LANG_C_plus_plus_14;
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
				     .rust = dwarf_srclang(&outer) == DW_LANG_Rust,
				     .cxx = language_is_cxx(dwarf_srclang(&outer)) };
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

/* The innermost scope around the DIE at `offset`: index + 1, 0: the unit. */
static uint32_t scope_around(const struct scope_unit *unit, Dwarf_Off offset)
{
	size_t low = 0, high = unit->count;
	uint32_t scope;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (unit->scopes[middle].start < offset)
			low = middle + 1;
		else
			high = middle;
	}
	scope = (uint32_t)low;
	while (scope && unit->scopes[scope - 1].end < offset)
		scope = unit->scopes[scope - 1].parent;
	return scope;
}

static void put_bytes(struct text *text, const char *bytes, size_t count)
{
	if (count > SYMBOL_NAME_MAX - text->used)
		count = SYMBOL_NAME_MAX - text->used;
	memcpy(text->bytes + text->used, bytes, count);
	text->used += count;
}

static void put(struct text *text, const char *part)
{
	put_bytes(text, part, strlen(part));
}

/* The scopes from `scope` outwards, the outermost first; `closure`: what a type without a name is
 * called. */
static void put_scopes(struct text *text, const struct scope_unit *unit, uint32_t scope,
		       const char *closure)
{
	const struct scope *outer;

	if (!scope || !unit->scopes)
		return;
	outer = &unit->scopes[scope - 1];
	put_scopes(text, unit, outer->parent, "(unnamed)");
	if (outer->name == nothing)
		return;
	put(text, outer->name ? outer->name : closure);
	put(text, "::");
}

static bool die_flag(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attribute;
	bool value = false;

	return dwarf_formflag(dwarf_attr(die, name, &attribute), &value) == 0 && value;
}

static bool die_type(Dwarf_Die *die, Dwarf_Die *ret_type)
{
	Dwarf_Attribute attribute;

	return dwarf_formref_die(dwarf_attr(die, DW_AT_type, &attribute), ret_type) != NULL;
}

static bool tag_is_qualifier(int tag)
{
	return tag == DW_TAG_const_type || tag == DW_TAG_volatile_type ||
	       tag == DW_TAG_restrict_type || tag == DW_TAG_typedef;
}

/* GCC writes integer types out in full. */
static const char *base_type_name(const char *name)
{
	static const struct {
		const char *full, *usual;
	} names[] = {
		{ "long int", "long" },
		{ "long unsigned int", "unsigned long" },
		{ "short int", "short" },
		{ "short unsigned int", "unsigned short" },
		{ "long long int", "long long" },
		{ "long long unsigned int", "unsigned long long" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(name, names[i].full) == 0)
			return names[i].usual;
	return name;
}

static void put_parameters(struct text *text, struct scope_units *units, Dwarf_Die *function,
			   int depth);

/* A type as the demangler writes it: what qualifies comes last, typedefs are followed. */
static void put_type(struct text *text, struct scope_units *units, Dwarf_Die *owner, int depth)
{
	struct scope_unit *unit;
	const char *name;
	Dwarf_Die type, inner;

	if (depth > TYPE_DEPTH_MAX) {
		put(text, "...");
		return;
	}
	if (!die_type(owner, &type)) {
		put(text, "void");
		return;
	}
	switch (dwarf_tag(&type)) {
	case DW_TAG_pointer_type:
	case DW_TAG_reference_type:
	case DW_TAG_rvalue_reference_type:
		name = dwarf_tag(&type) == DW_TAG_pointer_type	   ? "*"
		       : dwarf_tag(&type) == DW_TAG_reference_type ? "&"
								   : "&&";
		if (die_type(&type, &inner) && dwarf_tag(&inner) == DW_TAG_subroutine_type) {
			put_type(text, units, &inner, depth + 1);
			put(text, " (");
			put(text, name);
			put(text, ")");
			put_parameters(text, units, &inner, depth + 1);
		} else {
			put_type(text, units, &type, depth + 1);
			put(text, name);
		}
		break;
	case DW_TAG_const_type:
		put_type(text, units, &type, depth + 1);
		put(text, " const");
		break;
	case DW_TAG_volatile_type:
		put_type(text, units, &type, depth + 1);
		put(text, " volatile");
		break;
	case DW_TAG_restrict_type:
	case DW_TAG_typedef:
		put_type(text, units, &type, depth + 1);
		break;
	case DW_TAG_array_type:
		put_type(text, units, &type, depth + 1);
		put(text, " []");
		break;
	case DW_TAG_base_type:
	case DW_TAG_unspecified_type:
		name = dwarf_diename(&type);
		put(text, name ? base_type_name(name) : "?");
		break;
	default:
		name = dwarf_diename(&type);
		unit = unit_of(units, &type);
		if (unit)
			put_scopes(text, unit, scope_around(unit, dwarf_dieoffset(&type)),
				   "(unnamed)");
		put(text, name ? name : "{lambda}");
	}
}

/* A parameter's own const is not part of a function's name. */
static void put_parameter(struct text *text, struct scope_units *units, Dwarf_Die *parameter,
			  int depth)
{
	Dwarf_Die owner = *parameter, type;

	for (int i = 0; i < TYPE_DEPTH_MAX && die_type(&owner, &type); i++) {
		if (!tag_is_qualifier(dwarf_tag(&type)))
			break;
		owner = type;
	}
	put_type(text, units, &owner, depth);
}

static void put_parameters(struct text *text, struct scope_units *units, Dwarf_Die *function,
			   int depth)
{
	bool first = true, more;
	Dwarf_Die die, next;

	put(text, "(");
	for (more = dwarf_child(function, &die) == 0; more;) {
		int tag = dwarf_tag(&die);

		if ((tag == DW_TAG_formal_parameter && !die_flag(&die, DW_AT_artificial)) ||
		    tag == DW_TAG_unspecified_parameters) {
			if (!first)
				put(text, ", ");
			first = false;
			if (tag == DW_TAG_formal_parameter)
				put_parameter(text, units, &die, depth);
			else
				put(text, "...");
		}
		more = dwarf_siblingof(&die, &next) == 0 &&
		       dwarf_dieoffset(&next) > dwarf_dieoffset(&die);
		if (more)
			die = next;
	}
	put(text, ")");
}

/* A method whose `this` points to something const. */
static bool method_is_const(Dwarf_Die *function)
{
	Dwarf_Die self, pointer, object;

	return dwarf_child(function, &self) == 0 && dwarf_tag(&self) == DW_TAG_formal_parameter &&
	       die_flag(&self, DW_AT_artificial) && die_type(&self, &pointer) &&
	       (dwarf_tag(&pointer) != DW_TAG_const_type || die_type(&pointer, &pointer)) &&
	       die_type(&pointer, &object) && dwarf_tag(&object) == DW_TAG_const_type;
}

char *scope_qualify(struct scope_units *units, void *die, const char *name)
{
	static char bytes[SYMBOL_NAME_MAX], closure_bytes[SYMBOL_NAME_MAX];
	struct text text = { bytes, 0 }, closure = { closure_bytes, 0 };
	Dwarf_Die *target = die;
	struct scope_unit *unit = unit_of(units, target);
	const char *generics = strchr(name, '<');
	uint32_t scope;
	bool cxx, member;

	if (!unit)
		return strdup(name);
	/* Types of other units may be met below, which moves the list. */
	cxx = unit->cxx;
	scope = scope_around(unit, dwarf_dieoffset(target));
	member = scope && unit->scopes && unit->scopes[scope - 1].type;
	if (cxx && strcmp(name, "operator()") == 0) {
		put(&closure, "{lambda");
		put_parameters(&closure, units, target, 0);
		put(&closure, "}");
		unit = unit_of(units, target);
		if (!unit)
			return strdup(name);
	} else {
		put(&closure, "(unnamed)");
	}
	put_bytes(&closure, "", 1);
	closure_bytes[SYMBOL_NAME_MAX - 1] = '\0';
	put_scopes(&text, unit, scope, closure_bytes);
	if (unit->rust && generics && generics > name) {
		/* As Rust's own names have it: path::name::<types>. */
		put_bytes(&text, name, (size_t)(generics - name));
		put(&text, "::");
		put(&text, generics);
	} else {
		put(&text, name);
	}
	/* What is visible from outside and still has no linker's name is extern "C". */
	if (cxx && (member || !die_flag(target, DW_AT_external))) {
		put_parameters(&text, units, target, 0);
		if (member && method_is_const(target))
			put(&text, " const");
	}
	return strndup(text.bytes, text.used);
}
