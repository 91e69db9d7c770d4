/*
 * D names: _D, a qualified name whose functions carry the types of their parameters, and a type.
 * The grammar is the one of D's ABI; a Q points back to an identifier or a type already seen.
 *
 * By hand, although libiberty has a demangler: that one crashes on a long name, and names come from files
 * that may be hostile.
 */
#include "daemon/symbols/demangle_d.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 200
#define STEPS_MAX 50000

void dlang_put_bytes(struct dlang *d, const char *text, size_t bytes)
{
	if (d->failed)
		return;
	if (d->bytes + bytes >= DLANG_TEXT_MAX) {
		d->failed = true;
		return;
	}
	memcpy(d->text + d->bytes, text, bytes);
	d->bytes += bytes;
}

void dlang_put(struct dlang *d, const char *text)
{
	dlang_put_bytes(d, text, strlen(text));
}

/* Puts `text` before what has been written since `start`. */
static void put_before(struct dlang *d, size_t start, const char *text)
{
	size_t bytes = strlen(text), behind = d->bytes - start;

	dlang_put_bytes(d, text, bytes);
	if (d->failed)
		return;
	memmove(d->text + start + bytes, d->text + start, behind);
	memcpy(d->text + start, text, bytes);
}

bool dlang_take(struct dlang *d, char c)
{
	if (*d->at != c)
		return false;
	d->at++;
	return true;
}

bool dlang_take_word(struct dlang *d, const char *word)
{
	if (strncmp(d->at, word, strlen(word)) != 0)
		return false;
	d->at += strlen(word);
	return true;
}

bool dlang_enter(struct dlang *d)
{
	if (++d->depth > DEPTH_MAX || ++d->steps > STEPS_MAX)
		d->failed = true;
	return !d->failed;
}

size_t dlang_take_length(struct dlang *d)
{
	size_t value = 0;

	if (!isdigit((unsigned char)*d->at))
		d->failed = true;
	while (isdigit((unsigned char)*d->at) && value < DLANG_TEXT_MAX)
		value = value * 10 + (size_t)(*d->at++ - '0');
	if (value > (size_t)(d->end - d->at))
		d->failed = true;
	return d->failed ? 0 : value;
}

const char *dlang_back_reference(const struct dlang *d, const char *at, const char **ret_after)
{
	const char *q = at++;
	size_t distance = 0;

	while (isupper((unsigned char)*at) && distance < DLANG_TEXT_MAX * 4)
		distance = distance * 26 + (size_t)(*at++ - 'A');
	if (!islower((unsigned char)*at))
		return NULL;
	distance = distance * 26 + (size_t)(*at++ - 'a');
	if (!distance || distance > (size_t)(q - d->from))
		return NULL;
	*ret_after = at;
	return q - distance;
}

bool dlang_name_begins(const struct dlang *d, const char *at)
{
	const char *target, *after;

	if (isdigit((unsigned char)*at))
		return true;
	if (at[0] == '_' && at[1] == '_' && (at[2] == 'T' || at[2] == 'U'))
		return true;
	if (*at != 'Q')
		return false;
	target = dlang_back_reference(d, at, &after);
	return target && isdigit((unsigned char)*target);
}

static void put_template(struct dlang *d);

static void put_identifier(struct dlang *d)
{
	static const struct {
		const char *name, *text;
		bool before; /* "vtable for" what has been named so far */
	} known[] = {
		{ "__ctor", "this", false },
		{ "__dtor", "~this", false },
		{ "__postblit", "this(this)", false },
		{ "__initZ", "initializer for ", true },
		{ "__vtblZ", "vtable for ", true },
		{ "__ClassZ", "ClassInfo for ", true },
		{ "__InterfaceZ", "Interface for ", true },
		{ "__ModuleInfoZ", "ModuleInfo for ", true },
	};
	const char *after, *target;
	size_t length;

	if (*d->at == 'Q') {
		target = dlang_back_reference(d, d->at, &after);
		if (!target || !isdigit((unsigned char)*target)) {
			d->failed = true;
			return;
		}
		d->at = target;
		length = dlang_take_length(d);
		dlang_put_bytes(d, d->at, length);
		d->at = after;
		return;
	}
	if (*d->at == '_' && dlang_name_begins(d, d->at)) {
		put_template(d);
		return;
	}
	length = dlang_take_length(d);
	if (d->failed || !length) {
		d->failed = true;
		return;
	}
	/* Compilers before 2.077 gave template instances a length. */
	if (length > 5 && (strncmp(d->at, "__T", 3) == 0 || strncmp(d->at, "__U", 3) == 0)) {
		after = d->at + length;
		put_template(d);
		if (d->at != after)
			d->failed = true;
		return;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		size_t plain = strlen(known[i].name) - known[i].before;

		if (length != plain || strncmp(d->at, known[i].name, strlen(known[i].name)) != 0)
			continue;
		d->at += length;
		if (!known[i].before) {
			dlang_put(d, known[i].text);
			return;
		}
		if (d->bytes && d->text[d->bytes - 1] == '.')
			d->bytes--;
		put_before(d, 0, known[i].text);
		return;
	}
	dlang_put_bytes(d, d->at, length);
	d->at += length;
}

/* A symbol as a template's argument; older compilers gave its length. */
static void put_symbol_argument(struct dlang *d)
{
	const char *start = d->at;
	size_t bytes = d->bytes, length;

	if (isdigit((unsigned char)*start)) {
		length = dlang_take_length(d);
		if (!d->failed && strncmp(d->at, "_D", 2) == 0) {
			const char *after = d->at + length;

			d->at += 2;
			dlang_put_qualified(d);
			if (d->at < after) { /* its type, which says nothing here */
				size_t shown = d->bytes;

				dlang_put_type(d);
				d->bytes = shown;
			}
			if (d->at != after)
				d->failed = true;
			return;
		}
		d->failed = false;
		d->at = start;
		d->bytes = bytes;
	}
	if (dlang_take_word(d, "_D")) {
		size_t shown;

		dlang_put_qualified(d);
		shown = d->bytes;
		dlang_put_type(d);
		d->bytes = shown;
	} else {
		dlang_put_qualified(d);
	}
}

static void put_template(struct dlang *d)
{
	size_t shown, length;
	const char *type;
	char letter;

	if (!dlang_enter(d))
		return;
	d->at += 3; /* __T or __U */
	put_identifier(d);
	dlang_put(d, "!(");
	for (bool first = true; !d->failed && !dlang_take(d, 'Z'); first = false) {
		if (!first)
			dlang_put(d, ", ");
		dlang_take(d, 'H');
		letter = *d->at;
		if (letter)
			d->at++;
		switch (letter) {
		case 'T':
			dlang_put_type(d);
			break;
		case 'S':
			put_symbol_argument(d);
			break;
		case 'V':
			type = d->at;
			shown = d->bytes;
			dlang_put_type(d);
			if (*type == 'Q') {
				const char *after, *target = dlang_back_reference(d, type, &after);

				type = target ? target : type;
			}
			/* A struct's literal has its name in front. */
			if (*d->at != 'S')
				d->bytes = shown;
			dlang_put_value(d, *type);
			break;
		case 'X':
			length = dlang_take_length(d);
			dlang_put_bytes(d, d->at, length);
			d->at += length;
			break;
		default:
			d->failed = true;
		}
	}
	dlang_put(d, ")");
	d->depth--;
}

/* The function type behind a name, if there is one: its parameters are part of what is written. */
static void put_function_of_name(struct dlang *d)
{
	const char *start = d->at, *modifiers = NULL, *after;
	size_t bytes = d->bytes;

	if (dlang_take(d, 'M')) {
		modifiers = d->at;
		dlang_put_modifiers(d);
		d->bytes = bytes;
	}
	if (dlang_call_convention(*d->at)) {
		d->at++;
		dlang_take_attributes(d, false);
		dlang_put_parameters(d);
		if (!d->failed && *d->at) {
			if (modifiers) {
				after = d->at;
				d->at = modifiers;
				dlang_put_modifiers(d);
				d->at = after;
			}
			return;
		}
	}
	/* It was something else, perhaps the symbol's own type. */
	if (d->steps <= STEPS_MAX && d->bytes < DLANG_TEXT_MAX - 1)
		d->failed = false;
	d->at = start;
	d->bytes = bytes;
}

void dlang_put_qualified(struct dlang *d)
{
	bool first = true;

	if (!dlang_enter(d))
		return;
	do {
		if (*d->at == '0') { /* anonymous */
			while (dlang_take(d, '0'))
				;
			continue;
		}
		if (!first)
			dlang_put(d, ".");
		first = false;
		put_identifier(d);
		if (!d->failed && (*d->at == 'M' || dlang_call_convention(*d->at)))
			put_function_of_name(d);
	} while (!d->failed && dlang_name_begins(d, d->at));
	d->depth--;
}

char *demangle_d(const char *name)
{
	struct dlang d = { .from = name, .at = name + 2, .end = name + strlen(name) };
	size_t shown;
	char *text;

	if (strcmp(name, "_Dmain") == 0)
		return strdup("D main");
	if (strncmp(name, "_D", 2) != 0 || !dlang_name_begins(&d, d.at) ||
	    d.end - name > DLANG_TEXT_MAX)
		return NULL;
	d.text = malloc(DLANG_TEXT_MAX);
	if (!d.text)
		return NULL;
	dlang_put_qualified(&d);
	shown = d.bytes;
	/* What follows is the return type or the variable's; Z means there is none. */
	if (!d.failed && !dlang_take(&d, 'Z'))
		dlang_put_type(&d);
	if (d.failed || !shown || (*d.at && *d.at != '.')) {
		free(d.text);
		return NULL;
	}
	d.text[shown] = '\0';
	text = realloc(d.text, shown + 1);
	return text ? text : d.text;
}
