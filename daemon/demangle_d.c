/*
 * D names: _D, a qualified name whose functions carry the types of their parameters, and a type.
 * The grammar is the one of D's ABI; a Q points back to an identifier or a type already seen.
 */
#include "daemon/symbols.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 200
#define STEPS_MAX 50000
#define TEXT_MAX SYMBOL_NAME_MAX

struct dlang {
	const char *from, *at, *end;
	char *text;
	size_t bytes;
	unsigned depth, steps;
	bool failed;
};

static void put_bytes(struct dlang *d, const char *text, size_t bytes)
{
	if (d->failed)
		return;
	if (d->bytes + bytes >= TEXT_MAX) {
		d->failed = true;
		return;
	}
	memcpy(d->text + d->bytes, text, bytes);
	d->bytes += bytes;
}

static void put(struct dlang *d, const char *text)
{
	put_bytes(d, text, strlen(text));
}

/* Puts `text` before what has been written since `start`. */
static void put_before(struct dlang *d, size_t start, const char *text)
{
	size_t bytes = strlen(text), behind = d->bytes - start;

	put_bytes(d, text, bytes);
	if (d->failed)
		return;
	memmove(d->text + start + bytes, d->text + start, behind);
	memcpy(d->text + start, text, bytes);
}

static bool take(struct dlang *d, char c)
{
	if (*d->at != c)
		return false;
	d->at++;
	return true;
}

static bool take_word(struct dlang *d, const char *word)
{
	if (strncmp(d->at, word, strlen(word)) != 0)
		return false;
	d->at += strlen(word);
	return true;
}

static bool enter(struct dlang *d)
{
	if (++d->depth > DEPTH_MAX || ++d->steps > STEPS_MAX)
		d->failed = true;
	return !d->failed;
}

/* A decimal number no larger than what is left of the name. */
static size_t take_length(struct dlang *d)
{
	size_t value = 0;

	if (!isdigit((unsigned char)*d->at))
		d->failed = true;
	while (isdigit((unsigned char)*d->at) && value < TEXT_MAX)
		value = value * 10 + (size_t)(*d->at++ - '0');
	if (value > (size_t)(d->end - d->at))
		d->failed = true;
	return d->failed ? 0 : value;
}

/* Where the Q at `at` points to; *ret_after is behind it. NULL: nowhere. */
static const char *back_reference(const struct dlang *d, const char *at, const char **ret_after)
{
	const char *q = at++;
	size_t distance = 0;

	while (isupper((unsigned char)*at) && distance < TEXT_MAX * 4)
		distance = distance * 26 + (size_t)(*at++ - 'A');
	if (!islower((unsigned char)*at))
		return NULL;
	distance = distance * 26 + (size_t)(*at++ - 'a');
	if (!distance || distance > (size_t)(q - d->from))
		return NULL;
	*ret_after = at;
	return q - distance;
}

static bool name_begins(const struct dlang *d, const char *at)
{
	const char *target, *after;

	if (isdigit((unsigned char)*at))
		return true;
	if (at[0] == '_' && at[1] == '_' && (at[2] == 'T' || at[2] == 'U'))
		return true;
	if (*at != 'Q')
		return false;
	target = back_reference(d, at, &after);
	return target && isdigit((unsigned char)*target);
}

static void put_type(struct dlang *d);
static void put_qualified(struct dlang *d);
static void put_template(struct dlang *d);
static void put_value(struct dlang *d, char type);

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
		target = back_reference(d, d->at, &after);
		if (!target || !isdigit((unsigned char)*target)) {
			d->failed = true;
			return;
		}
		d->at = target;
		length = take_length(d);
		put_bytes(d, d->at, length);
		d->at = after;
		return;
	}
	if (*d->at == '_' && name_begins(d, d->at)) {
		put_template(d);
		return;
	}
	length = take_length(d);
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
			put(d, known[i].text);
			return;
		}
		if (d->bytes && d->text[d->bytes - 1] == '.')
			d->bytes--;
		put_before(d, 0, known[i].text);
		return;
	}
	put_bytes(d, d->at, length);
	d->at += length;
}

/* const, shared and so on of a method or delegate, with a space in front of each. */
static void put_modifiers(struct dlang *d)
{
	for (;;) {
		if (take(d, 'x'))
			put(d, " const");
		else if (take(d, 'y'))
			put(d, " immutable");
		else if (take(d, 'O'))
			put(d, " shared");
		else if (take_word(d, "Ng"))
			put(d, " inout");
		else
			return;
	}
}

/* How a function is called; NULL: no function. */
static const char *call_convention(char c)
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

/* pure, nothrow and so on, with a space in front of each; `wanted`: write them. */
static void take_attributes(struct dlang *d, bool wanted)
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
			put(d, attributes[i].text);
		d->at += 2;
	}
}

/* "(int, ref char)" up to the letter that closes the list. */
static void put_parameters(struct dlang *d)
{
	put(d, "(");
	for (bool first = true; !d->failed; first = false) {
		if (take(d, 'X')) {
			put(d, "...");
			break;
		}
		if (take(d, 'Y')) {
			put(d, first ? "..." : ", ...");
			break;
		}
		if (take(d, 'Z'))
			break;
		if (!first)
			put(d, ", ");
		for (;;) {
			if (take(d, 'M'))
				put(d, "scope ");
			else if (take_word(d, "Nk"))
				put(d, "return ");
			else
				break;
		}
		if (take(d, 'I')) {
			put(d, "in ");
			if (take(d, 'K'))
				put(d, "ref ");
		} else if (take(d, 'J')) {
			put(d, "out ");
		} else if (take(d, 'K')) {
			put(d, "ref ");
		} else if (take(d, 'L')) {
			put(d, "lazy ");
		}
		put_type(d);
	}
	put(d, ")");
}

/* The type of a function as "int(char) pure function". */
static void put_function(struct dlang *d, const char *kind)
{
	const char *convention = call_convention(*d->at), *attributes, *after;
	size_t start, middle, length;

	if (!convention) {
		d->failed = true;
		return;
	}
	put(d, convention);
	d->at++;
	attributes = d->at;
	take_attributes(d, false);
	start = d->bytes;
	put_parameters(d);
	after = d->at;
	d->at = attributes;
	take_attributes(d, true);
	d->at = after;
	/* The return type is named last and written first. */
	middle = d->bytes;
	put_type(d);
	if (d->failed)
		return;
	length = d->bytes - middle;
	if (d->bytes + length >= TEXT_MAX) {
		d->failed = true;
		return;
	}
	memmove(d->text + start + length, d->text + start, d->bytes - start);
	memcpy(d->text + start, d->text + d->bytes, length);
	put(d, kind);
}

static void put_wrapped(struct dlang *d, const char *name)
{
	put(d, name);
	put(d, "(");
	put_type(d);
	put(d, ")");
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
	const char *after, *target = back_reference(d, d->at, &after);

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

static void put_type(struct dlang *d)
{
	const char *key;
	size_t start = d->bytes, length;
	char tag = *d->at;

	if (!enter(d))
		return;
	if (basic_type(tag)) {
		d->at++;
		put(d, basic_type(tag));
		d->depth--;
		return;
	}
	if (call_convention(tag)) {
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
		if (take(d, 'g'))
			put_wrapped(d, "inout");
		else if (take(d, 'h'))
			put_wrapped(d, "__vector");
		else if (take(d, 'n'))
			put(d, "noreturn");
		else
			d->failed = true;
		break;
	case 'A':
		put_type(d);
		put(d, "[]");
		break;
	case 'G':
		key = d->at;
		while (isdigit((unsigned char)*d->at))
			d->at++;
		length = (size_t)(d->at - key);
		put_type(d);
		put(d, "[");
		put_bytes(d, key, length);
		put(d, "]");
		if (!length)
			d->failed = true;
		break;
	case 'H':
		put(d, "[");
		put_type(d);
		put(d, "]");
		length = d->bytes - start;
		put_type(d);
		/* Key first, written last. */
		if (!d->failed && d->bytes + length < TEXT_MAX) {
			memcpy(d->text + d->bytes, d->text + start, length);
			memmove(d->text + start, d->text + start + length, d->bytes - start);
		} else {
			d->failed = true;
		}
		break;
	case 'P':
		if (call_convention(*d->at)) {
			put_function(d, " function");
		} else {
			put_type(d);
			put(d, "*");
		}
		break;
	case 'C':
	case 'S':
	case 'E':
	case 'T':
	case 'I':
		put_qualified(d);
		break;
	case 'D':
		key = d->at;
		while (strchr("xyO", *d->at) && *d->at)
			d->at++;
		if (take_word(d, "Ng"))
			while (strchr("xyO", *d->at) && *d->at)
				d->at++;
		put_delegate(d);
		{
			const char *after = d->at;

			put(d, " delegate");
			d->at = key;
			put_modifiers(d);
			d->at = after;
		}
		break;
	case 'B':
		put(d, "tuple(");
		for (bool first = true; !d->failed && !take(d, 'Z'); first = false) {
			if (!first)
				put(d, ", ");
			put_type(d);
		}
		put(d, ")");
		break;
	case 'z':
		if (take(d, 'i'))
			put(d, "cent");
		else if (take(d, 'k'))
			put(d, "ucent");
		else
			d->failed = true;
		break;
	case 'Q':
		put_back_type(d, put_type);
		break;
	default:
		d->failed = true;
	}
	d->depth--;
}

static unsigned hex_digit(char c)
{
	if (isdigit((unsigned char)c))
		return (unsigned)(c - '0');
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

static void put_string(struct dlang *d, char width)
{
	size_t length = take_length(d);

	if (!take(d, '_') || length * 2 > (size_t)(d->end - d->at)) {
		d->failed = true;
		return;
	}
	put(d, "\"");
	for (; length > 0; length--, d->at += 2) {
		unsigned byte = hex_digit(d->at[0]) << 4 | hex_digit(d->at[1]);
		char shown[] = { '\\', 'x', d->at[0], d->at[1], '\0' };

		if (hex_digit(d->at[0]) > 15 || hex_digit(d->at[1]) > 15)
			d->failed = true;
		if (byte >= 0x20 && byte < 0x7f) {
			shown[0] = (char)byte;
			shown[1] = '\0';
		}
		put(d, shown);
	}
	put(d, "\"");
	if (width != 'a')
		put_bytes(d, &width, 1);
}

static void put_number(struct dlang *d, char type)
{
	const char *digits = d->at;
	unsigned long value;

	while (isdigit((unsigned char)*d->at))
		d->at++;
	if (d->at == digits) {
		d->failed = true;
		return;
	}
	value = strtoul(digits, NULL, 10);
	if (type == 'b') {
		put(d, value ? "true" : "false");
	} else if ((type == 'a' || type == 'u' || type == 'w') && value >= 0x20 && value < 0x7f) {
		char shown[] = { '\'', (char)value, '\'', '\0' };

		put(d, shown);
	} else {
		put_bytes(d, digits, (size_t)(d->at - digits));
		put(d, type == 'h' || type == 't' || type == 'k' ? "u"
		       : type == 'l'				 ? "L"
		       : type == 'm'				 ? "uL"
								 : "");
	}
}

static void put_real(struct dlang *d)
{
	if (take_word(d, "NAN")) {
		put(d, "NaN");
	} else if (take_word(d, "INF")) {
		put(d, "Inf");
	} else if (take_word(d, "NINF")) {
		put(d, "-Inf");
	} else {
		if (take(d, 'N'))
			put(d, "-");
		put(d, "0x");
		for (bool first = true; isxdigit((unsigned char)*d->at); first = false) {
			put_bytes(d, d->at++, 1);
			if (first)
				put(d, ".");
		}
		if (!take(d, 'P'))
			d->failed = true;
		put(d, "p");
		if (take(d, 'N'))
			put(d, "-");
		while (isdigit((unsigned char)*d->at))
			put_bytes(d, d->at++, 1);
	}
}

/* The values of an array, or the fields of a struct. */
static void put_values(struct dlang *d, char open, bool pairs)
{
	size_t count = take_length(d);
	char brackets[] = { open, '\0' };

	put(d, brackets);
	for (size_t i = 0; i < count && !d->failed; i++) {
		if (i)
			put(d, ", ");
		put_value(d, '\0');
		if (pairs) {
			put(d, ":");
			put_value(d, '\0');
		}
	}
	put(d, open == '[' ? "]" : ")");
}

static void put_value(struct dlang *d, char type)
{
	char tag = *d->at;

	if (!enter(d))
		return;
	if (tag && !isdigit((unsigned char)tag))
		d->at++;
	switch (tag) {
	case 'n':
		put(d, "null");
		break;
	case 'N':
		put(d, "-");
		put_number(d, type);
		break;
	case 'i':
		put_number(d, type);
		break;
	case 'e':
		put_real(d);
		break;
	case 'c':
		put_real(d);
		put(d, "+");
		if (!take(d, 'c'))
			d->failed = true;
		put_real(d);
		put(d, "i");
		break;
	case 'a':
	case 'w':
	case 'd':
		put_string(d, tag);
		break;
	case 'A':
		put_values(d, '[', type == 'H');
		break;
	case 'S':
		put_values(d, '(', false);
		break;
	case 'f':
		if (take_word(d, "_D") && name_begins(d, d->at)) {
			put_qualified(d);
			put_type(d);
		} else {
			d->failed = true;
		}
		break;
	default:
		put_number(d, type);
	}
	d->depth--;
}

/* A symbol as a template's argument; older compilers gave its length. */
static void put_symbol_argument(struct dlang *d)
{
	const char *start = d->at;
	size_t bytes = d->bytes, length;

	if (isdigit((unsigned char)*start)) {
		length = take_length(d);
		if (!d->failed && strncmp(d->at, "_D", 2) == 0) {
			const char *after = d->at + length;

			d->at += 2;
			put_qualified(d);
			if (d->at < after) { /* its type, which says nothing here */
				size_t shown = d->bytes;

				put_type(d);
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
	if (take_word(d, "_D")) {
		size_t shown;

		put_qualified(d);
		shown = d->bytes;
		put_type(d);
		d->bytes = shown;
	} else {
		put_qualified(d);
	}
}

static void put_template(struct dlang *d)
{
	size_t shown, length;
	const char *type;
	char letter;

	if (!enter(d))
		return;
	d->at += 3; /* __T or __U */
	put_identifier(d);
	put(d, "!(");
	for (bool first = true; !d->failed && !take(d, 'Z'); first = false) {
		if (!first)
			put(d, ", ");
		take(d, 'H');
		letter = *d->at;
		if (letter)
			d->at++;
		switch (letter) {
		case 'T':
			put_type(d);
			break;
		case 'S':
			put_symbol_argument(d);
			break;
		case 'V':
			type = d->at;
			shown = d->bytes;
			put_type(d);
			if (*type == 'Q') {
				const char *after, *target = back_reference(d, type, &after);

				type = target ? target : type;
			}
			/* A struct's literal has its name in front. */
			if (*d->at != 'S')
				d->bytes = shown;
			put_value(d, *type);
			break;
		case 'X':
			length = take_length(d);
			put_bytes(d, d->at, length);
			d->at += length;
			break;
		default:
			d->failed = true;
		}
	}
	put(d, ")");
	d->depth--;
}

/* The function type behind a name, if there is one: its parameters are part of what is written. */
static void put_function_of_name(struct dlang *d)
{
	const char *start = d->at, *modifiers = NULL, *after;
	size_t bytes = d->bytes;

	if (take(d, 'M')) {
		modifiers = d->at;
		put_modifiers(d);
		d->bytes = bytes;
	}
	if (call_convention(*d->at)) {
		d->at++;
		take_attributes(d, false);
		put_parameters(d);
		if (!d->failed && *d->at) {
			if (modifiers) {
				after = d->at;
				d->at = modifiers;
				put_modifiers(d);
				d->at = after;
			}
			return;
		}
	}
	/* It was something else, perhaps the symbol's own type. */
	if (d->steps <= STEPS_MAX && d->bytes < TEXT_MAX - 1)
		d->failed = false;
	d->at = start;
	d->bytes = bytes;
}

static void put_qualified(struct dlang *d)
{
	bool first = true;

	if (!enter(d))
		return;
	do {
		if (*d->at == '0') { /* anonymous */
			while (take(d, '0'))
				;
			continue;
		}
		if (!first)
			put(d, ".");
		first = false;
		put_identifier(d);
		if (!d->failed && (*d->at == 'M' || call_convention(*d->at)))
			put_function_of_name(d);
	} while (!d->failed && name_begins(d, d->at));
	d->depth--;
}

char *demangle_d(const char *name)
{
	struct dlang d = { .from = name, .at = name + 2, .end = name + strlen(name) };
	size_t shown;
	char *text;

	if (strcmp(name, "_Dmain") == 0)
		return strdup("D main");
	if (strncmp(name, "_D", 2) != 0 || !name_begins(&d, d.at) || d.end - name > TEXT_MAX)
		return NULL;
	d.text = malloc(TEXT_MAX);
	if (!d.text)
		return NULL;
	put_qualified(&d);
	shown = d.bytes;
	/* What follows is the return type or the variable's; Z means there is none. */
	if (!d.failed && !take(&d, 'Z'))
		put_type(&d);
	if (d.failed || !shown || (*d.at && *d.at != '.')) {
		free(d.text);
		return NULL;
	}
	d.text[shown] = '\0';
	text = realloc(d.text, shown + 1);
	return text ? text : d.text;
}
