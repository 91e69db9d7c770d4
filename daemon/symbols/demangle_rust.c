/*
 * Rust names. The older scheme looks like a C++ name whose last part is a hash and whose special
 * characters are spelled out; the newer one ("v0", RFC 2603) begins with _R and is a grammar of
 * its own: paths, types, constants, and references back to text already seen. Hashes and crate
 * numbers are left out, so that a function has the same name in two builds of a program.
 *
 * By hand, although libiberty has a demangler: that one does not come back from _RIC1aFGzzzzzzzz_EuE, and
 * names come from files that may be hostile.
 */
#include "daemon/symbols/demangle_rust.h"
#include "daemon/symbols/symbols.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 200
#define STEPS_MAX 100000 /* back references can make a short name mean a huge one */
#define TEXT_MAX SYMBOL_NAME_MAX

void rust_put_bytes(struct rust *r, const char *text, size_t bytes)
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

void rust_put(struct rust *r, const char *text)
{
	rust_put_bytes(r, text, strlen(text));
}

void rust_put_number(struct rust *r, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	rust_put_bytes(r, digits + at, sizeof(digits) - at);
}

void rust_put_rune(struct rust *r, uint32_t rune)
{
	char utf8[4];

	if (rune < 0x80) {
		utf8[0] = (char)rune;
		rust_put_bytes(r, utf8, 1);
	} else if (rune < 0x800) {
		utf8[0] = (char)(0xc0 | rune >> 6);
		utf8[1] = (char)(0x80 | (rune & 0x3f));
		rust_put_bytes(r, utf8, 2);
	} else if (rune < 0x10000) {
		utf8[0] = (char)(0xe0 | rune >> 12);
		utf8[1] = (char)(0x80 | (rune >> 6 & 0x3f));
		utf8[2] = (char)(0x80 | (rune & 0x3f));
		rust_put_bytes(r, utf8, 3);
	} else if (rune < 0x110000) {
		utf8[0] = (char)(0xf0 | rune >> 18);
		utf8[1] = (char)(0x80 | (rune >> 12 & 0x3f));
		utf8[2] = (char)(0x80 | (rune >> 6 & 0x3f));
		utf8[3] = (char)(0x80 | (rune & 0x3f));
		rust_put_bytes(r, utf8, 4);
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
			rust_put(r, escapes[i].text);
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
	rust_put_rune(r, rune);
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
			rust_put(r, "::");
			at += 2;
		} else if (part[at] == '$' && (length = put_escape(r, part + at, bytes - at)) > 0) {
			at += length;
		} else {
			rust_put_bytes(r, part + at++, 1);
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
			rust_put(r, "::");
		first = false;
		put_old_part(r, r->at, length);
		r->at += length;
	}
	return false;
}

/* The newer scheme. One function per rule of its grammar, here and in the other files. */

bool rust_enter(struct rust *r)
{
	if (++r->depth > DEPTH_MAX || ++r->steps > STEPS_MAX)
		r->failed = true;
	return !r->failed;
}

bool rust_take(struct rust *r, char c)
{
	if (*r->at != c)
		return false;
	r->at++;
	return true;
}

uint64_t rust_take_base62(struct rust *r)
{
	uint64_t value = 0;

	if (rust_take(r, '_'))
		return 0;
	while (!rust_take(r, '_')) {
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

uint64_t rust_take_tagged(struct rust *r, char tag)
{
	return rust_take(r, tag) ? rust_take_base62(r) + 1 : 0;
}

struct ident rust_take_plain_ident(struct rust *r)
{
	struct ident ident = { .punycode = rust_take(r, 'u') };

	if (!isdigit((unsigned char)*r->at))
		r->failed = true;
	/* A length has no leading zero: 0 is the empty name. */
	if (!rust_take(r, '0'))
		while (isdigit((unsigned char)*r->at) && ident.bytes < TEXT_MAX)
			ident.bytes = ident.bytes * 10 + (size_t)(*r->at++ - '0');
	rust_take(r, '_');
	if (strnlen(r->at, ident.bytes) < ident.bytes)
		r->failed = true;
	if (r->failed)
		return (struct ident){ "", 0, false };
	ident.text = r->at;
	r->at += ident.bytes;
	return ident;
}

struct ident rust_take_ident(struct rust *r, uint64_t *ret_number)
{
	*ret_number = rust_take_tagged(r, 's');
	return rust_take_plain_ident(r);
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
		rust_put_rune(r, runes[i]);
}

void rust_put_ident(struct rust *r, struct ident ident)
{
	if (ident.punycode)
		put_punycode(r, ident);
	else
		rust_put_bytes(r, ident.text, ident.bytes);
}

void rust_follow(struct rust *r, void (*rule)(struct rust *r, bool flag), bool flag)
{
	const char *back = r->at - 1; /* at the B */
	uint64_t offset = rust_take_base62(r);
	const char *after = r->at;

	if (offset >= (uint64_t)(back - r->from))
		r->failed = true;
	if (r->failed || r->silent)
		return;
	r->at = r->from + offset;
	rule(r, flag);
	r->at = after;
}

static bool new_name(struct rust *r)
{
	/* A digit would be the version of a later encoding. */
	if (isdigit((unsigned char)*r->at))
		return false;
	rust_put_path(r, true);
	if (isupper((unsigned char)*r->at)) { /* the crate it was instantiated in */
		r->silent = true;
		rust_put_path(r, false);
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
