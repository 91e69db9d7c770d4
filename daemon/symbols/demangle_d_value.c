/* Values among the parameters of D templates. Why by hand: demangle_d.c. */
#include "daemon/symbols/demangle_d.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static unsigned hex_digit(char c)
{
	if (isdigit((unsigned char)c))
		return (unsigned)(c - '0');
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

static void put_string(struct dlang *d, char width)
{
	size_t length = dlang_take_length(d);

	if (!dlang_take(d, '_') || length * 2 > (size_t)(d->end - d->at)) {
		d->failed = true;
		return;
	}
	dlang_put(d, "\"");
	for (; length > 0; length--, d->at += 2) {
		unsigned byte = hex_digit(d->at[0]) << 4 | hex_digit(d->at[1]);
		char shown[] = { '\\', 'x', d->at[0], d->at[1], '\0' };

		if (hex_digit(d->at[0]) > 15 || hex_digit(d->at[1]) > 15)
			d->failed = true;
		if (byte >= 0x20 && byte < 0x7f) {
			shown[0] = (char)byte;
			shown[1] = '\0';
		}
		dlang_put(d, shown);
	}
	dlang_put(d, "\"");
	if (width != 'a')
		dlang_put_bytes(d, &width, 1);
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
		dlang_put(d, value ? "true" : "false");
	} else if ((type == 'a' || type == 'u' || type == 'w') && value >= 0x20 && value < 0x7f) {
		char shown[] = { '\'', (char)value, '\'', '\0' };

		dlang_put(d, shown);
	} else {
		dlang_put_bytes(d, digits, (size_t)(d->at - digits));
		dlang_put(d, type == 'h' || type == 't' || type == 'k' ? "u"
			     : type == 'l'			       ? "L"
			     : type == 'm'			       ? "uL"
								       : "");
	}
}

static void put_real(struct dlang *d)
{
	if (dlang_take_word(d, "NAN")) {
		dlang_put(d, "NaN");
	} else if (dlang_take_word(d, "INF")) {
		dlang_put(d, "Inf");
	} else if (dlang_take_word(d, "NINF")) {
		dlang_put(d, "-Inf");
	} else {
		if (dlang_take(d, 'N'))
			dlang_put(d, "-");
		dlang_put(d, "0x");
		for (bool first = true; isxdigit((unsigned char)*d->at); first = false) {
			dlang_put_bytes(d, d->at++, 1);
			if (first)
				dlang_put(d, ".");
		}
		if (!dlang_take(d, 'P'))
			d->failed = true;
		dlang_put(d, "p");
		if (dlang_take(d, 'N'))
			dlang_put(d, "-");
		while (isdigit((unsigned char)*d->at))
			dlang_put_bytes(d, d->at++, 1);
	}
}

/* The values of an array, or the fields of a struct. */
static void put_values(struct dlang *d, char open, bool pairs)
{
	size_t count = dlang_take_length(d);
	char brackets[] = { open, '\0' };

	dlang_put(d, brackets);
	for (size_t i = 0; i < count && !d->failed; i++) {
		if (i)
			dlang_put(d, ", ");
		dlang_put_value(d, '\0');
		if (pairs) {
			dlang_put(d, ":");
			dlang_put_value(d, '\0');
		}
	}
	dlang_put(d, open == '[' ? "]" : ")");
}

void dlang_put_value(struct dlang *d, char type)
{
	char tag = *d->at;

	if (!dlang_enter(d))
		return;
	if (tag && !isdigit((unsigned char)tag))
		d->at++;
	switch (tag) {
	case 'n':
		dlang_put(d, "null");
		break;
	case 'N':
		dlang_put(d, "-");
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
		dlang_put(d, "+");
		if (!dlang_take(d, 'c'))
			d->failed = true;
		put_real(d);
		dlang_put(d, "i");
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
		if (dlang_take_word(d, "_D") && dlang_name_begins(d, d->at)) {
			dlang_put_qualified(d);
			dlang_put_type(d);
		} else {
			d->failed = true;
		}
		break;
	default:
		put_number(d, type);
	}
	d->depth--;
}
