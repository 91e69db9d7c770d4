/* Constants among the generic parameters of Rust's newer names. Why by hand: demangle_rust.c. */
#include "daemon/symbols/demangle_rust.h"

#include <ctype.h>
#include <string.h>

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
	if (!rust_take(r, '_'))
		r->failed = true;
	return count;
}

static void put_const_number(struct rust *r)
{
	const char *digits;
	uint64_t value;
	size_t count = take_hex(r, &digits, &value);

	if (count <= 16) {
		rust_put_number(r, value);
	} else {
		rust_put(r, "0x");
		rust_put_bytes(r, digits, count);
	}
}

static void put_quoted(struct rust *r, uint32_t rune, char quote)
{
	char escaped[3] = { '\\', (char)rune, '\0' };

	if (rune == '\n' || rune == '\t' || rune == '\r') {
		escaped[1] = rune == '\n' ? 'n' : rune == '\t' ? 't' : 'r';
		rust_put(r, escaped);
	} else if (rune == (uint32_t)quote || rune == '\\') {
		rust_put(r, escaped);
	} else if (rune < 0x20) {
		rust_put(r, "\\u{");
		rust_put_number(r, rune);
		rust_put(r, "}");
	} else {
		rust_put_rune(r, rune);
	}
}

/* A string constant: its bytes as pairs of hexadecimal digits. */
static void put_const_string(struct rust *r)
{
	rust_put(r, "\"");
	while (!r->failed && !rust_take(r, '_')) {
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

			rust_put_bytes(r, &raw, 1);
		}
	}
	rust_put(r, "\"");
}

static void put_const_fields(struct rust *r)
{
	uint64_t number;

	rust_put_path(r, true);
	if (rust_take(r, 'U'))
		return;
	if (rust_take(r, 'T')) {
		rust_put(r, "(");
		for (bool first = true; !r->failed && !rust_take(r, 'E'); first = false) {
			if (!first)
				rust_put(r, ", ");
			rust_put_const(r, true);
		}
		rust_put(r, ")");
	} else if (rust_take(r, 'S')) {
		rust_put(r, " { ");
		for (bool first = true; !r->failed && !rust_take(r, 'E'); first = false) {
			if (!first)
				rust_put(r, ", ");
			rust_put_ident(r, rust_take_ident(r, &number));
			rust_put(r, ": ");
			rust_put_const(r, true);
		}
		rust_put(r, " }");
	} else {
		r->failed = true;
	}
}

void rust_put_const(struct rust *r, bool nested)
{
	char tag = *r->at;
	const char *digits;
	uint64_t value;
	bool braces = !nested && tag && strchr("eRQATV", tag) && !(tag == 'R' && r->at[1] == 'e');

	if (!rust_enter(r))
		return;
	if (tag)
		r->at++;
	if (braces)
		rust_put(r, "{");
	switch (tag) {
	case 'p':
		rust_put(r, "_");
		break;
	case 'a':
	case 'i':
	case 'l':
	case 'n':
	case 's':
	case 'x':
		if (rust_take(r, 'n'))
			rust_put(r, "-");
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
		rust_put(r, value ? "true" : "false");
		break;
	case 'c':
		if (take_hex(r, &digits, &value) > 6)
			r->failed = true;
		rust_put(r, "'");
		put_quoted(r, (uint32_t)value, '\'');
		rust_put(r, "'");
		break;
	case 'e':
		rust_put(r, "*");
		put_const_string(r);
		break;
	case 'R':
		if (rust_take(r, 'e')) {
			put_const_string(r);
			break;
		}
		rust_put(r, "&");
		rust_put_const(r, true);
		break;
	case 'Q':
		rust_put(r, "&mut ");
		rust_put_const(r, true);
		break;
	case 'A':
		rust_put(r, "[");
		for (bool first = true; !r->failed && !rust_take(r, 'E'); first = false) {
			if (!first)
				rust_put(r, ", ");
			rust_put_const(r, true);
		}
		rust_put(r, "]");
		break;
	case 'T':
		rust_put_tuple(r, rust_put_const);
		break;
	case 'V':
		put_const_fields(r);
		break;
	case 'B':
		rust_follow(r, rust_put_const, nested);
		break;
	default:
		r->failed = true;
	}
	if (braces)
		rust_put(r, "}");
	r->depth--;
}
