/* Types of D, and functions among them. Why by hand: demangle_d.c. */
#include "daemon/symbols/demangle_d.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void dlang_put_modifiers(struct dlang *d)
{
	for (;;) {
		if (dlang_take(d, 'x'))
			dlang_put(d, " const");
		else if (dlang_take(d, 'y'))
			dlang_put(d, " immutable");
		else if (dlang_take(d, 'O'))
			dlang_put(d, " shared");
		else if (dlang_take_word(d, "Ng"))
			dlang_put(d, " inout");
		else
			return;
	}
}

const char *dlang_call_convention(char c)
{
	switch (c) {
	case 'F':
		return "";
	case 'U':
		return "extern(C) ";
	case 'W':
		return "extern(Windows) ";
	case 'V':
		return "extern(Pascal) ";
	case 'R':
		return "extern(C++) ";
	case 'Y':
		return "extern(Objective-C) ";
	default:
		return NULL;
	}
}

void dlang_take_attributes(struct dlang *d, bool wanted)
{
	static const struct {
		char letter;
		const char *text;
	} attributes[] = { { 'a', " pure" },	  { 'b', " nothrow" },	{ 'c', " ref" },
			   { 'd', " @property" }, { 'e', " @trusted" }, { 'f', " @safe" },
			   { 'i', " @nogc" },	  { 'j', " return" },	{ 'l', " scope" },
			   { 'm', " @live" } };
	size_t i;

	while (*d->at == 'N') {
		for (i = 0; i < sizeof(attributes) / sizeof(*attributes); i++)
			if (attributes[i].letter == d->at[1])
				break;
		if (i == sizeof(attributes) / sizeof(*attributes))
			return; /* the first parameter's */
		if (wanted)
			dlang_put(d, attributes[i].text);
		d->at += 2;
	}
}

void dlang_put_parameters(struct dlang *d)
{
	dlang_put(d, "(");
	for (bool first = true; !d->failed; first = false) {
		if (dlang_take(d, 'X')) {
			dlang_put(d, "...");
			break;
		}
		if (dlang_take(d, 'Y')) {
			dlang_put(d, first ? "..." : ", ...");
			break;
		}
		if (dlang_take(d, 'Z'))
			break;
		if (!first)
			dlang_put(d, ", ");
		for (;;) {
			if (dlang_take(d, 'M'))
				dlang_put(d, "scope ");
			else if (dlang_take_word(d, "Nk"))
				dlang_put(d, "return ");
			else
				break;
		}
		if (dlang_take(d, 'I')) {
			dlang_put(d, "in ");
			if (dlang_take(d, 'K'))
				dlang_put(d, "ref ");
		} else if (dlang_take(d, 'J')) {
			dlang_put(d, "out ");
		} else if (dlang_take(d, 'K')) {
			dlang_put(d, "ref ");
		} else if (dlang_take(d, 'L')) {
			dlang_put(d, "lazy ");
		}
		dlang_put_type(d);
	}
	dlang_put(d, ")");
}

/* The type of a function as "int(char) pure function". */
static void put_function(struct dlang *d, const char *kind)
{
	const char *convention = dlang_call_convention(*d->at), *attributes, *after;
	size_t start, middle, length;

	if (!convention) {
		d->failed = true;
		return;
	}
	dlang_put(d, convention);
	d->at++;
	attributes = d->at;
	dlang_take_attributes(d, false);
	start = d->bytes;
	dlang_put_parameters(d);
	after = d->at;
	d->at = attributes;
	dlang_take_attributes(d, true);
	d->at = after;
	/* The return type is named last and written first. */
	middle = d->bytes;
	dlang_put_type(d);
	if (d->failed)
		return;
	length = d->bytes - middle;
	if (d->bytes + length >= DLANG_TEXT_MAX) {
		d->failed = true;
		return;
	}
	memmove(d->text + start + length, d->text + start, d->bytes - start);
	memcpy(d->text + start, d->text + d->bytes, length);
	dlang_put(d, kind);
}

static void put_wrapped(struct dlang *d, const char *name)
{
	dlang_put(d, name);
	dlang_put(d, "(");
	dlang_put_type(d);
	dlang_put(d, ")");
}

static const char *basic_type(char c)
{
	static const char *const names[] = {
		['a' - 'a'] = "char",	 ['b' - 'a'] = "bool",	       ['c' - 'a'] = "creal",
		['d' - 'a'] = "double",	 ['e' - 'a'] = "real",	       ['f' - 'a'] = "float",
		['g' - 'a'] = "byte",	 ['h' - 'a'] = "ubyte",	       ['i' - 'a'] = "int",
		['j' - 'a'] = "ireal",	 ['k' - 'a'] = "uint",	       ['l' - 'a'] = "long",
		['m' - 'a'] = "ulong",	 ['n' - 'a'] = "typeof(null)", ['o' - 'a'] = "ifloat",
		['p' - 'a'] = "idouble", ['q' - 'a'] = "cfloat",       ['r' - 'a'] = "cdouble",
		['s' - 'a'] = "short",	 ['t' - 'a'] = "ushort",       ['u' - 'a'] = "wchar",
		['v' - 'a'] = "void",	 ['w' - 'a'] = "dchar",	       ['x' - 'a'] = NULL,
		['y' - 'a'] = NULL,	 ['z' - 'a'] = NULL,
	};

	return c >= 'a' && c <= 'z' ? names[c - 'a'] : NULL;
}

static void put_back_type(struct dlang *d, void (*rule)(struct dlang *d))
{
	const char *after, *target = dlang_back_reference(d, d->at, &after);

	if (!target) {
		d->failed = true;
		return;
	}
	d->at = target;
	rule(d);
	d->at = after;
}

static void put_delegate(struct dlang *d)
{
	if (*d->at == 'Q')
		put_back_type(d, put_delegate);
	else
		put_function(d, "");
}

void dlang_put_type(struct dlang *d)
{
	const char *key;
	size_t start = d->bytes, length;
	char tag = *d->at;

	if (!dlang_enter(d))
		return;
	if (basic_type(tag)) {
		d->at++;
		dlang_put(d, basic_type(tag));
		d->depth--;
		return;
	}
	if (dlang_call_convention(tag)) {
		put_function(d, " function");
		d->depth--;
		return;
	}
	if (tag && tag != 'Q')
		d->at++;
	switch (tag) {
	case 'O':
		put_wrapped(d, "shared");
		break;
	case 'x':
		put_wrapped(d, "const");
		break;
	case 'y':
		put_wrapped(d, "immutable");
		break;
	case 'N':
		if (dlang_take(d, 'g'))
			put_wrapped(d, "inout");
		else if (dlang_take(d, 'h'))
			put_wrapped(d, "__vector");
		else if (dlang_take(d, 'n'))
			dlang_put(d, "noreturn");
		else
			d->failed = true;
		break;
	case 'A':
		dlang_put_type(d);
		dlang_put(d, "[]");
		break;
	case 'G':
		key = d->at;
		while (isdigit((unsigned char)*d->at))
			d->at++;
		length = (size_t)(d->at - key);
		dlang_put_type(d);
		dlang_put(d, "[");
		dlang_put_bytes(d, key, length);
		dlang_put(d, "]");
		if (!length)
			d->failed = true;
		break;
	case 'H':
		dlang_put(d, "[");
		dlang_put_type(d);
		dlang_put(d, "]");
		length = d->bytes - start;
		dlang_put_type(d);
		/* Key first, written last. */
		if (!d->failed && d->bytes + length < DLANG_TEXT_MAX) {
			memcpy(d->text + d->bytes, d->text + start, length);
			memmove(d->text + start, d->text + start + length, d->bytes - start);
		} else {
			d->failed = true;
		}
		break;
	case 'P':
		if (dlang_call_convention(*d->at)) {
			put_function(d, " function");
		} else {
			dlang_put_type(d);
			dlang_put(d, "*");
		}
		break;
	case 'C':
	case 'S':
	case 'E':
	case 'T':
	case 'I':
		dlang_put_qualified(d);
		break;
	case 'D':
		key = d->at;
		while (strchr("xyO", *d->at) && *d->at)
			d->at++;
		if (dlang_take_word(d, "Ng"))
			while (strchr("xyO", *d->at) && *d->at)
				d->at++;
		put_delegate(d);
		{
			const char *after = d->at;

			dlang_put(d, " delegate");
			d->at = key;
			dlang_put_modifiers(d);
			d->at = after;
		}
		break;
	case 'B':
		dlang_put(d, "tuple(");
		for (bool first = true; !d->failed && !dlang_take(d, 'Z'); first = false) {
			if (!first)
				dlang_put(d, ", ");
			dlang_put_type(d);
		}
		dlang_put(d, ")");
		break;
	case 'z':
		if (dlang_take(d, 'i'))
			dlang_put(d, "cent");
		else if (dlang_take(d, 'k'))
			dlang_put(d, "ucent");
		else
			d->failed = true;
		break;
	case 'Q':
		put_back_type(d, dlang_put_type);
		break;
	default:
		d->failed = true;
	}
	d->depth--;
}
