/* Paths and types of Rust's newer names. Why by hand: demangle_rust.c. */
#include "daemon/symbols/demangle_rust.h"

#include <ctype.h>
#include <string.h>

static void put_lifetime(struct rust *r, uint64_t index)
{
	char name[] = "'a";

	if (index == 0) {
		rust_put(r, "'_");
	} else if (index > r->lifetimes) {
		r->failed = true;
	} else if (r->lifetimes - index < 26) {
		name[1] = (char)('a' + r->lifetimes - index);
		rust_put(r, name);
	} else {
		rust_put(r, "'_");
		rust_put_number(r, r->lifetimes - index);
	}
}

static void put_generic_args(struct rust *r)
{
	for (bool first = true; !r->failed && !rust_take(r, 'E'); first = false) {
		if (!first)
			rust_put(r, ", ");
		if (rust_take(r, 'L'))
			put_lifetime(r, rust_take_base62(r));
		else if (rust_take(r, 'K'))
			rust_put_const(r, false);
		else
			rust_put_type(r, false);
	}
}

static void put_nested_path(struct rust *r, bool in_value)
{
	char space = *r->at, name[] = "?";
	struct ident ident;
	uint64_t number;

	if (!isalpha((unsigned char)space)) {
		r->failed = true;
		return;
	}
	r->at++;
	rust_put_path(r, in_value);
	ident = rust_take_ident(r, &number);
	if (islower((unsigned char)space)) {
		/* Namespaces of the compiler's own; only the name counts. */
		if (ident.bytes) {
			rust_put(r, "::");
			rust_put_ident(r, ident);
		}
		return;
	}
	name[0] = space;
	rust_put(r, "::{");
	rust_put(r, space == 'C' ? "closure" : space == 'S' ? "shim" : name);
	if (ident.bytes) {
		rust_put(r, ":");
		rust_put_ident(r, ident);
	}
	rust_put(r, "#");
	rust_put_number(r, number);
	rust_put(r, "}");
}

static void put_impl(struct rust *r, char tag)
{
	if (tag != 'Y') {
		bool silent = r->silent;
		uint64_t number = rust_take_tagged(r, 's');

		(void)number;
		r->silent = true;
		rust_put_path(r, false);
		r->silent = silent;
	}
	rust_put(r, "<");
	rust_put_type(r, false);
	if (tag != 'M') {
		rust_put(r, " as ");
		rust_put_path(r, false);
	}
	rust_put(r, ">");
}

void rust_put_path(struct rust *r, bool in_value)
{
	uint64_t number;
	char tag = *r->at;

	if (!rust_enter(r))
		return;
	if (tag)
		r->at++;
	switch (tag) {
	case 'C':
		rust_put_ident(r, rust_take_ident(r, &number));
		break;
	case 'N':
		put_nested_path(r, in_value);
		break;
	case 'M':
	case 'X':
	case 'Y':
		put_impl(r, tag);
		break;
	case 'I':
		rust_put_path(r, in_value);
		rust_put(r, in_value ? "::<" : "<");
		put_generic_args(r);
		rust_put(r, ">");
		break;
	case 'B':
		rust_follow(r, rust_put_path, in_value);
		break;
	default:
		r->failed = true;
	}
	r->depth--;
}

/* for<'a, 'b>; returns how many, to be given back after what they bind. */
static uint64_t put_binder(struct rust *r)
{
	uint64_t count = rust_take_tagged(r, 'G');

	if (!count)
		return 0;
	if (count > 1000) {
		r->failed = true;
		return 0;
	}
	rust_put(r, "for<");
	for (uint64_t i = 0; i < count; i++) {
		if (i)
			rust_put(r, ", ");
		r->lifetimes++;
		put_lifetime(r, 1);
	}
	rust_put(r, "> ");
	return count;
}

static void put_function(struct rust *r)
{
	uint64_t bound = put_binder(r);

	if (rust_take(r, 'U'))
		rust_put(r, "unsafe ");
	if (rust_take(r, 'K')) {
		rust_put(r, "extern \"");
		if (rust_take(r, 'C')) {
			rust_put(r, "C");
		} else {
			struct ident abi = rust_take_plain_ident(r);

			for (size_t i = 0; i < abi.bytes; i++)
				rust_put_bytes(r, abi.text[i] == '_' ? "-" : abi.text + i, 1);
		}
		rust_put(r, "\" ");
	}
	rust_put(r, "fn(");
	for (bool first = true; !r->failed && !rust_take(r, 'E'); first = false) {
		if (!first)
			rust_put(r, ", ");
		rust_put_type(r, false);
	}
	rust_put(r, ")");
	if (!rust_take(r, 'u')) {
		rust_put(r, " -> ");
		rust_put_type(r, false);
	}
	r->lifetimes -= bound;
}

static bool open_path; /* what put_open_path() left open; a rule has no other way to say so */

/* A trait whose angle brackets stay open, for the associated types that follow. */
static void put_open_path(struct rust *r, bool unused)
{
	(void)unused;
	if (!rust_enter(r))
		return;
	if (rust_take(r, 'B')) {
		rust_follow(r, put_open_path, false);
	} else if (rust_take(r, 'I')) {
		rust_put_path(r, false);
		rust_put(r, "<");
		put_generic_args(r);
		open_path = true;
	} else {
		rust_put_path(r, false);
		open_path = false;
	}
	r->depth--;
}

static void put_dyn(struct rust *r)
{
	uint64_t bound, lifetime;

	rust_put(r, "dyn ");
	bound = put_binder(r);
	for (bool first = true; !r->failed && !rust_take(r, 'E'); first = false) {
		bool open;

		if (!first)
			rust_put(r, " + ");
		open_path = false;
		put_open_path(r, false);
		open = open_path;
		while (!r->failed && rust_take(r, 'p')) {
			rust_put(r, open ? ", " : "<");
			open = true;
			rust_put_ident(r, rust_take_plain_ident(r));
			rust_put(r, " = ");
			rust_put_type(r, false);
		}
		if (open)
			rust_put(r, ">");
	}
	r->lifetimes -= bound;
	if (!rust_take(r, 'L'))
		r->failed = true;
	lifetime = rust_take_base62(r);
	if (lifetime) {
		rust_put(r, " + ");
		put_lifetime(r, lifetime);
	}
}

static const char *basic_type(char tag)
{
	static const char *const names[] = {
		['a' - 'a'] = "i8",   ['b' - 'a'] = "bool",  ['c' - 'a'] = "char",
		['d' - 'a'] = "f64",  ['e' - 'a'] = "str",   ['f' - 'a'] = "f32",
		['h' - 'a'] = "u8",   ['i' - 'a'] = "isize", ['j' - 'a'] = "usize",
		['l' - 'a'] = "i32",  ['m' - 'a'] = "u32",   ['n' - 'a'] = "i128",
		['o' - 'a'] = "u128", ['p' - 'a'] = "_",     ['s' - 'a'] = "i16",
		['t' - 'a'] = "u16",  ['u' - 'a'] = "()",    ['v' - 'a'] = "...",
		['x' - 'a'] = "i64",  ['y' - 'a'] = "u64",   ['z' - 'a'] = "!",
	};

	return tag >= 'a' && tag <= 'z' ? names[tag - 'a'] : NULL;
}

void rust_put_tuple(struct rust *r, void (*item)(struct rust *r, bool flag))
{
	unsigned count = 0;

	rust_put(r, "(");
	for (; !r->failed && !rust_take(r, 'E'); count++) {
		if (count)
			rust_put(r, ", ");
		item(r, true);
	}
	rust_put(r, count == 1 ? ",)" : ")");
}

void rust_put_type(struct rust *r, bool unused)
{
	char tag = *r->at;

	(void)unused;
	if (!rust_enter(r))
		return;
	if (basic_type(tag)) {
		r->at++;
		rust_put(r, basic_type(tag));
		r->depth--;
		return;
	}
	if (tag)
		r->at++;
	switch (tag) {
	case 'A':
		rust_put(r, "[");
		rust_put_type(r, false);
		rust_put(r, "; ");
		rust_put_const(r, true);
		rust_put(r, "]");
		break;
	case 'S':
		rust_put(r, "[");
		rust_put_type(r, false);
		rust_put(r, "]");
		break;
	case 'T':
		rust_put_tuple(r, rust_put_type);
		break;
	case 'R':
	case 'Q':
		rust_put(r, "&");
		if (rust_take(r, 'L')) {
			uint64_t lifetime = rust_take_base62(r);

			if (lifetime) {
				put_lifetime(r, lifetime);
				rust_put(r, " ");
			}
		}
		rust_put(r, tag == 'Q' ? "mut " : "");
		rust_put_type(r, false);
		break;
	case 'P':
	case 'O':
		rust_put(r, tag == 'P' ? "*const " : "*mut ");
		rust_put_type(r, false);
		break;
	case 'F':
		put_function(r);
		break;
	case 'D':
		put_dyn(r);
		break;
	case 'B':
		rust_follow(r, rust_put_type, false);
		break;
	default:
		r->at -= tag ? 1 : 0;
		rust_put_path(r, false);
	}
	r->depth--;
}
