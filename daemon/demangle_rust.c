/*
 * Rust names. The older scheme looks like a C++ name whose last part is a hash and whose special
 * characters are spelled out; the newer one ("v0", RFC 2603) begins with _R and is a grammar of
 * its own: paths, types, constants, and references back to text already seen. Hashes and crate
 * numbers are left out, so that a function has the same name in two builds of a program.
 */
#include "daemon/symbols.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 200
#define STEPS_MAX 100000 /* back references can make a short name mean a huge one */
#define TEXT_MAX SYMBOL_NAME_MAX

struct rust {
	const char *from; /* what back references count from */
	const char *at;
	char *text;
	size_t bytes;
	unsigned depth, steps;
	uint64_t lifetimes; /* bound by the binders around */
	bool silent;	    /* parse, but write nothing */
	bool failed;
};

static void put_bytes(struct rust *r, const char *text, size_t bytes)
{
	if (r->silent || r->failed)
		return;
	if (r->bytes + bytes >= TEXT_MAX) {
		r->failed = true;
		return;
	}
	memcpy(r->text + r->bytes, text, bytes);
	r->bytes += bytes;
}

static void put(struct rust *r, const char *text)
{
	put_bytes(r, text, strlen(text));
}

static void put_number(struct rust *r, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	put_bytes(r, digits + at, sizeof(digits) - at);
}

static void put_rune(struct rust *r, uint32_t rune)
{
	char utf8[4];

	if (rune < 0x80) {
		utf8[0] = (char)rune;
		put_bytes(r, utf8, 1);
	} else if (rune < 0x800) {
		utf8[0] = (char)(0xc0 | rune >> 6);
		utf8[1] = (char)(0x80 | (rune & 0x3f));
		put_bytes(r, utf8, 2);
	} else if (rune < 0x10000) {
		utf8[0] = (char)(0xe0 | rune >> 12);
		utf8[1] = (char)(0x80 | (rune >> 6 & 0x3f));
		utf8[2] = (char)(0x80 | (rune & 0x3f));
		put_bytes(r, utf8, 3);
	} else if (rune < 0x110000) {
		utf8[0] = (char)(0xf0 | rune >> 18);
		utf8[1] = (char)(0x80 | (rune >> 12 & 0x3f));
		utf8[2] = (char)(0x80 | (rune >> 6 & 0x3f));
		utf8[3] = (char)(0x80 | (rune & 0x3f));
		put_bytes(r, utf8, 4);
	} else {
		r->failed = true;
	}
}

/* The older scheme. */

static bool is_hash(const char *part, size_t bytes)
{
	if (bytes != 17 || part[0] != 'h')
		return false;
	for (size_t i = 1; i < bytes; i++)
		if (!isdigit((unsigned char)part[i]) && (part[i] < 'a' || part[i] > 'f'))
			return false;
	return true;
}

/* One $NAME$ at part[0]; returns its length, 0 when it is none. */
static size_t put_escape(struct rust *r, const char *part, size_t bytes)
{
	static const struct {
		const char *name, *text;
	} escapes[] = { { "$SP$", "@" }, { "$BP$", "*" }, { "$RF$", "&" }, { "$LT$", "<" },
			{ "$GT$", ">" }, { "$LP$", "(" }, { "$RP$", ")" }, { "$C$", "," } };
	uint32_t rune = 0;
	size_t at = 2;

	for (size_t i = 0; i < sizeof(escapes) / sizeof(*escapes); i++) {
		size_t length = strlen(escapes[i].name);

		if (bytes >= length && memcmp(part, escapes[i].name, length) == 0) {
			put(r, escapes[i].text);
			return length;
		}
	}
	if (bytes < 4 || part[1] != 'u')
		return 0;
	for (; at < bytes && at < 8 && isxdigit((unsigned char)part[at]); at++)
		rune = rune << 4 |
		       (uint32_t)(part[at] <= '9' ? part[at] - '0' : (part[at] | 32) - 'a' + 10);
	if (at == 2 || at == bytes || part[at] != '$' || rune < 0x20)
		return 0;
	put_rune(r, rune);
	return at + 1;
}

static void put_old_part(struct rust *r, const char *part, size_t bytes)
{
	size_t at = 0, length;

	/* An escape may not come first in a linker's name; an underscore was put before it. */
	if (bytes > 1 && part[0] == '_' && part[1] == '$')
		at = 1;
	while (at < bytes) {
		if (part[at] == '.' && at + 1 < bytes && part[at + 1] == '.') {
			put(r, "::");
			at += 2;
		} else if (part[at] == '$' && (length = put_escape(r, part + at, bytes - at)) > 0) {
			at += length;
		} else {
			put_bytes(r, part + at++, 1);
		}
	}
}

static bool old_name(struct rust *r)
{
	bool first = true;

	while (isdigit((unsigned char)*r->at)) {
		size_t length = 0;

		while (isdigit((unsigned char)*r->at) && length < TEXT_MAX)
			length = length * 10 + (size_t)(*r->at++ - '0');
		if (!length || strnlen(r->at, length) < length)
			return false;
		if (r->at[length] == 'E' && (!r->at[length + 1] || r->at[length + 1] == '.'))
			return !first && is_hash(r->at, length);
		if (!first)
			put(r, "::");
		first = false;
		put_old_part(r, r->at, length);
		r->at += length;
	}
	return false;
}

/* The newer scheme. One function per rule of its grammar. */

static bool enter(struct rust *r)
{
	if (++r->depth > DEPTH_MAX || ++r->steps > STEPS_MAX)
		r->failed = true;
	return !r->failed;
}

static bool take(struct rust *r, char c)
{
	if (*r->at != c)
		return false;
	r->at++;
	return true;
}

/* 0 is "_", n is n - 1 in base 62 with "_" behind. */
static uint64_t take_base62(struct rust *r)
{
	uint64_t value = 0;

	if (take(r, '_'))
		return 0;
	while (!take(r, '_')) {
		char c = *r->at;
		uint64_t digit;

		if (isdigit((unsigned char)c))
			digit = (uint64_t)(c - '0');
		else if (islower((unsigned char)c))
			digit = (uint64_t)(c - 'a') + 10;
		else if (isupper((unsigned char)c))
			digit = (uint64_t)(c - 'A') + 36;
		else
			digit = UINT64_MAX;
		if (digit == UINT64_MAX || __builtin_mul_overflow(value, 62, &value) ||
		    __builtin_add_overflow(value, digit, &value)) {
			r->failed = true;
			return 0;
		}
		r->at++;
	}
	return value + 1;
}

static uint64_t take_tagged(struct rust *r, char tag)
{
	return take(r, tag) ? take_base62(r) + 1 : 0;
}

struct ident {
	const char *text;
	size_t bytes;
	bool punycode;
};

static struct ident take_plain_ident(struct rust *r)
{
	struct ident ident = { .punycode = take(r, 'u') };

	if (!isdigit((unsigned char)*r->at))
		r->failed = true;
	/* A length has no leading zero: 0 is the empty name. */
	if (!take(r, '0'))
		while (isdigit((unsigned char)*r->at) && ident.bytes < TEXT_MAX)
			ident.bytes = ident.bytes * 10 + (size_t)(*r->at++ - '0');
	take(r, '_');
	if (strnlen(r->at, ident.bytes) < ident.bytes)
		r->failed = true;
	if (r->failed)
		return (struct ident){ "", 0, false };
	ident.text = r->at;
	r->at += ident.bytes;
	return ident;
}

static struct ident take_ident(struct rust *r, uint64_t *ret_number)
{
	*ret_number = take_tagged(r, 's');
	return take_plain_ident(r);
}

/* RFC 3492, with "_" between the plain letters and the rest. */
static void put_punycode(struct rust *r, struct ident ident)
{
	uint32_t runes[256];
	size_t count = 0, at = 0, plain = ident.bytes;
	uint32_t rune = 128, position = 0, bias = 72;

	while (plain > 0 && ident.text[plain - 1] != '_')
		plain--;
	for (; plain > 0 && at + 1 < plain && count < 256; at++)
		runes[count++] = (unsigned char)ident.text[at];
	at = plain;
	for (bool first = true; at < ident.bytes; first = false) {
		uint32_t before = position, weight = 1, delta, steps = 0;

		for (uint32_t k = 36;; k += 36) {
			uint32_t threshold = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
			char c = at < ident.bytes ? ident.text[at++] : '!';
			uint32_t digit = islower((unsigned char)c)   ? (uint32_t)(c - 'a')
					 : isdigit((unsigned char)c) ? (uint32_t)(c - '0') + 26
								     : UINT32_MAX;

			if (digit == UINT32_MAX || weight > 1u << 20 || position > 1u << 24) {
				r->failed = true;
				return;
			}
			position += digit * weight;
			if (digit < threshold)
				break;
			weight *= 36 - threshold;
		}
		if (count == 256) {
			r->failed = true;
			return;
		}
		count++;
		delta = (position - before) / (first ? 700 : 2);
		delta += delta / (uint32_t)count;
		for (; delta > 455; delta /= 35)
			steps += 36;
		bias = steps + 36 * delta / (delta + 38);
		rune += position / (uint32_t)count;
		position %= (uint32_t)count;
		memmove(runes + position + 1, runes + position,
			(count - 1 - position) * sizeof(*runes));
		runes[position++] = rune;
	}
	for (size_t i = 0; i < count; i++)
		put_rune(r, runes[i]);
}

static void put_ident(struct rust *r, struct ident ident)
{
	if (ident.punycode)
		put_punycode(r, ident);
	else
		put_bytes(r, ident.text, ident.bytes);
}

static void put_lifetime(struct rust *r, uint64_t index)
{
	char name[] = "'a";

	if (index == 0) {
		put(r, "'_");
	} else if (index > r->lifetimes) {
		r->failed = true;
	} else if (r->lifetimes - index < 26) {
		name[1] = (char)('a' + r->lifetimes - index);
		put(r, name);
	} else {
		put(r, "'_");
		put_number(r, r->lifetimes - index);
	}
}

/* Runs `rule` on the text a back reference points to. */
static void follow(struct rust *r, void (*rule)(struct rust *r, bool flag), bool flag)
{
	const char *back = r->at - 1; /* at the B */
	uint64_t offset = take_base62(r);
	const char *after = r->at;

	if (offset >= (uint64_t)(back - r->from))
		r->failed = true;
	if (r->failed || r->silent)
		return;
	r->at = r->from + offset;
	rule(r, flag);
	r->at = after;
}

static void put_path(struct rust *r, bool in_value);
static void put_type(struct rust *r, bool unused);
static void put_const(struct rust *r, bool nested);

static void put_generic_args(struct rust *r)
{
	for (bool first = true; !r->failed && !take(r, 'E'); first = false) {
		if (!first)
			put(r, ", ");
		if (take(r, 'L'))
			put_lifetime(r, take_base62(r));
		else if (take(r, 'K'))
			put_const(r, false);
		else
			put_type(r, false);
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
	put_path(r, in_value);
	ident = take_ident(r, &number);
	if (islower((unsigned char)space)) {
		/* Namespaces of the compiler's own; only the name counts. */
		if (ident.bytes) {
			put(r, "::");
			put_ident(r, ident);
		}
		return;
	}
	name[0] = space;
	put(r, "::{");
	put(r, space == 'C' ? "closure" : space == 'S' ? "shim" : name);
	if (ident.bytes) {
		put(r, ":");
		put_ident(r, ident);
	}
	put(r, "#");
	put_number(r, number);
	put(r, "}");
}

static void put_impl(struct rust *r, char tag)
{
	if (tag != 'Y') {
		bool silent = r->silent;
		uint64_t number = take_tagged(r, 's');

		(void)number;
		r->silent = true;
		put_path(r, false);
		r->silent = silent;
	}
	put(r, "<");
	put_type(r, false);
	if (tag != 'M') {
		put(r, " as ");
		put_path(r, false);
	}
	put(r, ">");
}

static void put_path(struct rust *r, bool in_value)
{
	uint64_t number;
	char tag = *r->at;

	if (!enter(r))
		return;
	if (tag)
		r->at++;
	switch (tag) {
	case 'C':
		put_ident(r, take_ident(r, &number));
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
		put_path(r, in_value);
		put(r, in_value ? "::<" : "<");
		put_generic_args(r);
		put(r, ">");
		break;
	case 'B':
		follow(r, put_path, in_value);
		break;
	default:
		r->failed = true;
	}
	r->depth--;
}

/* for<'a, 'b>; returns how many, to be given back after what they bind. */
static uint64_t put_binder(struct rust *r)
{
	uint64_t count = take_tagged(r, 'G');

	if (!count)
		return 0;
	if (count > 1000) {
		r->failed = true;
		return 0;
	}
	put(r, "for<");
	for (uint64_t i = 0; i < count; i++) {
		if (i)
			put(r, ", ");
		r->lifetimes++;
		put_lifetime(r, 1);
	}
	put(r, "> ");
	return count;
}

static void put_function(struct rust *r)
{
	uint64_t bound = put_binder(r);

	if (take(r, 'U'))
		put(r, "unsafe ");
	if (take(r, 'K')) {
		put(r, "extern \"");
		if (take(r, 'C')) {
			put(r, "C");
		} else {
			struct ident abi = take_plain_ident(r);

			for (size_t i = 0; i < abi.bytes; i++)
				put_bytes(r, abi.text[i] == '_' ? "-" : abi.text + i, 1);
		}
		put(r, "\" ");
	}
	put(r, "fn(");
	for (bool first = true; !r->failed && !take(r, 'E'); first = false) {
		if (!first)
			put(r, ", ");
		put_type(r, false);
	}
	put(r, ")");
	if (!take(r, 'u')) {
		put(r, " -> ");
		put_type(r, false);
	}
	r->lifetimes -= bound;
}

static bool open_path; /* what put_open_path() left open; a rule has no other way to say so */

/* A trait whose angle brackets stay open, for the associated types that follow. */
static void put_open_path(struct rust *r, bool unused)
{
	(void)unused;
	if (!enter(r))
		return;
	if (take(r, 'B')) {
		follow(r, put_open_path, false);
	} else if (take(r, 'I')) {
		put_path(r, false);
		put(r, "<");
		put_generic_args(r);
		open_path = true;
	} else {
		put_path(r, false);
		open_path = false;
	}
	r->depth--;
}

static void put_dyn(struct rust *r)
{
	uint64_t bound, lifetime;

	put(r, "dyn ");
	bound = put_binder(r);
	for (bool first = true; !r->failed && !take(r, 'E'); first = false) {
		bool open;

		if (!first)
			put(r, " + ");
		open_path = false;
		put_open_path(r, false);
		open = open_path;
		while (!r->failed && take(r, 'p')) {
			put(r, open ? ", " : "<");
			open = true;
			put_ident(r, take_plain_ident(r));
			put(r, " = ");
			put_type(r, false);
		}
		if (open)
			put(r, ">");
	}
	r->lifetimes -= bound;
	if (!take(r, 'L'))
		r->failed = true;
	lifetime = take_base62(r);
	if (lifetime) {
		put(r, " + ");
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

static void put_tuple(struct rust *r, void (*item)(struct rust *r, bool flag))
{
	unsigned count = 0;

	put(r, "(");
	for (; !r->failed && !take(r, 'E'); count++) {
		if (count)
			put(r, ", ");
		item(r, true);
	}
	put(r, count == 1 ? ",)" : ")");
}

static void put_type(struct rust *r, bool unused)
{
	char tag = *r->at;

	(void)unused;
	if (!enter(r))
		return;
	if (basic_type(tag)) {
		r->at++;
		put(r, basic_type(tag));
		r->depth--;
		return;
	}
	if (tag)
		r->at++;
	switch (tag) {
	case 'A':
		put(r, "[");
		put_type(r, false);
		put(r, "; ");
		put_const(r, true);
		put(r, "]");
		break;
	case 'S':
		put(r, "[");
		put_type(r, false);
		put(r, "]");
		break;
	case 'T':
		put_tuple(r, put_type);
		break;
	case 'R':
	case 'Q':
		put(r, "&");
		if (take(r, 'L')) {
			uint64_t lifetime = take_base62(r);

			if (lifetime) {
				put_lifetime(r, lifetime);
				put(r, " ");
			}
		}
		put(r, tag == 'Q' ? "mut " : "");
		put_type(r, false);
		break;
	case 'P':
	case 'O':
		put(r, tag == 'P' ? "*const " : "*mut ");
		put_type(r, false);
		break;
	case 'F':
		put_function(r);
		break;
	case 'D':
		put_dyn(r);
		break;
	case 'B':
		follow(r, put_type, false);
		break;
	default:
		r->at -= tag ? 1 : 0;
		put_path(r, false);
	}
	r->depth--;
}

/* Hexadecimal digits up to "_". Returns how many; *ret_value is right up to 16 of them. */
static size_t take_hex(struct rust *r, const char **ret_digits, uint64_t *ret_value)
{
	size_t count = 0;

	*ret_value = 0;
	while (*r->at == '0' && r->at[1] != '_')
		r->at++;
	*ret_digits = r->at;
	for (; isdigit((unsigned char)*r->at) || (*r->at >= 'a' && *r->at <= 'f'); r->at++, count++)
		*ret_value = *ret_value << 4 |
			     (uint64_t)(*r->at <= '9' ? *r->at - '0' : *r->at - 'a' + 10);
	if (!take(r, '_'))
		r->failed = true;
	return count;
}

static void put_const_number(struct rust *r)
{
	const char *digits;
	uint64_t value;
	size_t count = take_hex(r, &digits, &value);

	if (count <= 16) {
		put_number(r, value);
	} else {
		put(r, "0x");
		put_bytes(r, digits, count);
	}
}

static void put_quoted(struct rust *r, uint32_t rune, char quote)
{
	char escaped[3] = { '\\', (char)rune, '\0' };

	if (rune == '\n' || rune == '\t' || rune == '\r') {
		escaped[1] = rune == '\n' ? 'n' : rune == '\t' ? 't' : 'r';
		put(r, escaped);
	} else if (rune == (uint32_t)quote || rune == '\\') {
		put(r, escaped);
	} else if (rune < 0x20) {
		put(r, "\\u{");
		put_number(r, rune);
		put(r, "}");
	} else {
		put_rune(r, rune);
	}
}

/* A string constant: its bytes as pairs of hexadecimal digits. */
static void put_const_string(struct rust *r)
{
	put(r, "\"");
	while (!r->failed && !take(r, '_')) {
		unsigned byte = 0;

		for (int i = 0; i < 2; i++, r->at++) {
			char c = *r->at;

			if (!isdigit((unsigned char)c) && (c < 'a' || c > 'f')) {
				r->failed = true;
				return;
			}
			byte = byte << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
		}
		if (byte < 0x80) {
			put_quoted(r, byte, '"');
		} else {
			char raw = (char)byte;

			put_bytes(r, &raw, 1);
		}
	}
	put(r, "\"");
}

static void put_const_fields(struct rust *r)
{
	uint64_t number;

	put_path(r, true);
	if (take(r, 'U'))
		return;
	if (take(r, 'T')) {
		put(r, "(");
		for (bool first = true; !r->failed && !take(r, 'E'); first = false) {
			if (!first)
				put(r, ", ");
			put_const(r, true);
		}
		put(r, ")");
	} else if (take(r, 'S')) {
		put(r, " { ");
		for (bool first = true; !r->failed && !take(r, 'E'); first = false) {
			if (!first)
				put(r, ", ");
			put_ident(r, take_ident(r, &number));
			put(r, ": ");
			put_const(r, true);
		}
		put(r, " }");
	} else {
		r->failed = true;
	}
}

static void put_const(struct rust *r, bool nested)
{
	char tag = *r->at;
	const char *digits;
	uint64_t value;
	bool braces = !nested && tag && strchr("eRQATV", tag) && !(tag == 'R' && r->at[1] == 'e');

	if (!enter(r))
		return;
	if (tag)
		r->at++;
	if (braces)
		put(r, "{");
	switch (tag) {
	case 'p':
		put(r, "_");
		break;
	case 'a':
	case 'i':
	case 'l':
	case 'n':
	case 's':
	case 'x':
		if (take(r, 'n'))
			put(r, "-");
		put_const_number(r);
		break;
	case 'h':
	case 'j':
	case 'm':
	case 'o':
	case 't':
	case 'y':
		put_const_number(r);
		break;
	case 'b':
		if (take_hex(r, &digits, &value) != 1 || value > 1)
			r->failed = true;
		put(r, value ? "true" : "false");
		break;
	case 'c':
		if (take_hex(r, &digits, &value) > 6)
			r->failed = true;
		put(r, "'");
		put_quoted(r, (uint32_t)value, '\'');
		put(r, "'");
		break;
	case 'e':
		put(r, "*");
		put_const_string(r);
		break;
	case 'R':
		if (take(r, 'e')) {
			put_const_string(r);
			break;
		}
		put(r, "&");
		put_const(r, true);
		break;
	case 'Q':
		put(r, "&mut ");
		put_const(r, true);
		break;
	case 'A':
		put(r, "[");
		for (bool first = true; !r->failed && !take(r, 'E'); first = false) {
			if (!first)
				put(r, ", ");
			put_const(r, true);
		}
		put(r, "]");
		break;
	case 'T':
		put_tuple(r, put_const);
		break;
	case 'V':
		put_const_fields(r);
		break;
	case 'B':
		follow(r, put_const, nested);
		break;
	default:
		r->failed = true;
	}
	if (braces)
		put(r, "}");
	r->depth--;
}

static bool new_name(struct rust *r)
{
	/* A digit would be the version of a later encoding. */
	if (isdigit((unsigned char)*r->at))
		return false;
	put_path(r, true);
	if (isupper((unsigned char)*r->at)) { /* the crate it was instantiated in */
		r->silent = true;
		put_path(r, false);
	}
	return !r->failed && (!*r->at || *r->at == '.' || *r->at == '$');
}

char *demangle_rust(const char *name)
{
	struct rust r = { 0 };
	bool good;

	if (strncmp(name, "_R", 2) == 0)
		r.at = r.from = name + 2;
	else if (strncmp(name, "_ZN", 3) == 0)
		r.at = name + 3;
	else
		return NULL;
	r.text = malloc(TEXT_MAX);
	if (!r.text)
		return NULL;
	good = (r.from ? new_name(&r) : old_name(&r)) && !r.failed;
	if (!good || !r.bytes) {
		free(r.text);
		return NULL;
	}
	r.text[r.bytes] = '\0';
	name = realloc(r.text, r.bytes + 1);
	return name ? (char *)name : r.text;
}
