#include "viewer/print/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "viewer/memory.h"
#include "viewer/utf8.h"

/* Columns of the UTF-8 character of `length` bytes. */
static size_t character_width(const unsigned char *at, size_t length)
{
	static const uint8_t first_bits[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	wchar_t wide;
	int width;

	if (length <= 1)
		return 1;
	wide = at[0] & first_bits[length];
	for (size_t i = 1; i < length; i++)
		wide = wide << 6 | (at[i] & 0x3f);
	width = wcwidth(wide);
	return width < 0 ? 1 : (size_t)width;
}

size_t text_width(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t left = strlen(text), width = 0;

	while (left) {
		size_t length = utf8_length(at, left);

		width += character_width(at, length);
		length = length ? length : 1;
		at += length;
		left -= length;
	}
	return width;
}

void text_write(FILE *out, const char *text, size_t bytes, bool no_controls)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + bytes;

	while (at < end) {
		size_t length = utf8_length(at, (size_t)(end - at));

		if (no_controls && utf8_is_control(at, length))
			fputc('?', out);
		else if (length)
			fwrite(at, 1, length, out);
		else
			fputs(UTF8_REPLACEMENT, out);
		at += length ? length : 1;
	}
}

char *text_utf8(const char *text)
{
	char *valid = NULL;
	size_t bytes;
	FILE *memory = memory_stream(&valid, &bytes);

	text_write(memory, text, strlen(text), false);
	memory_stream_end(memory);
	return valid;
}

/* One line for a screen: line breaks and tabs become blanks, other control characters '?', bytes
 * that are not UTF-8 U+FFFD. */
static char *text_clean(const char *text)
{
	char *clean = NULL;
	size_t bytes;
	FILE *memory = memory_stream(&clean, &bytes);

	for (const char *at = text; *at;) {
		size_t length = strcspn(at, "\n\t");

		text_write(memory, at, length, true);
		at += length;
		if (*at) {
			fputc(' ', memory);
			at++;
		}
	}
	memory_stream_end(memory);
	return clean;
}

/* How many bytes at the start take `columns` at most. */
static size_t bytes_within(const char *text, size_t columns)
{
	const char *at = text;
	size_t seen = 0;

	while (*at) {
		size_t length = utf8_length((const unsigned char *)at, strlen(at));
		size_t wide = character_width((const unsigned char *)at, length);

		if (seen + wide > columns)
			break;
		seen += wide;
		at += length ? length : 1;
	}
	return (size_t)(at - text);
}

/* The end that takes `columns` at most. */
static const char *end_within(const char *text, size_t columns)
{
	while (text_width(text) > columns) {
		size_t length = utf8_length((const unsigned char *)text, strlen(text));

		text += length ? length : 1;
	}
	return text;
}

#define FOLDED "\xe2\x80\xa6" /* … */

/* Where the deepest of the arguments in brackets begin and end, the longest of these, without the
 * brackets. False: there are none, or all are folded. */
static bool arguments_find(const char *name, size_t *ret_begin, size_t *ret_end)
{
	static const char unnamed[] = "(anonymous namespace)";
	size_t open[64], deepest = 0;
	unsigned depth = 0;

	*ret_begin = *ret_end = 0;
	for (size_t i = 0; name[i]; i++) {
		if (!strncmp(name + i, "operator", 8) && (!i || strchr(": ", name[i - 1]))) {
			i += 7;
			i += strspn(name + i + 1, "<>-=");
			if (!strncmp(name + i + 1, "()", 2))
				i += 2;
		} else if (!strncmp(name + i, unnamed, sizeof(unnamed) - 1)) {
			i += sizeof(unnamed) - 2;
		} else if (name[i] == '<' || name[i] == '(') {
			if (depth == 64)
				return false;
			open[depth++] = i + 1;
		} else if (depth && (name[i] == ')' || (name[i] == '>' && name[i - 1] != '-'))) {
			size_t begin = open[--depth], length = i - begin;

			if (length > 1 && strncmp(name + begin, FOLDED, strlen(FOLDED)) != 0 &&
			    (depth > deepest ||
			     (depth == deepest && length > *ret_end - *ret_begin) || !*ret_end)) {
				deepest = depth;
				*ret_begin = begin;
				*ret_end = i;
			}
		}
	}
	return *ret_end != 0;
}

/* Folds arguments, the inner ones first, until the name fits; then scopes are left out. */
static char *fit_name(char *name, size_t width)
{
	size_t begin, end;
	const char *rest;
	char *result;

	while (text_width(name) > width && arguments_find(name, &begin, &end)) {
		size_t bytes = strlen(FOLDED), tail = strlen(name + end) + 1;

		if (end - begin < bytes)
			break;
		memcpy(name + begin, FOLDED, bytes);
		memmove(name + begin + bytes, name + end, tail);
	}
	if (text_width(name) <= width)
		return name;
	rest = end_within(name, width - 1);
	if (strstr(rest, "::") && strstr(rest, "::")[2])
		rest = strstr(rest, "::");
	result = memory_print(FOLDED "%s", rest);
	free(name);
	return result;
}

char *text_fit(const char *text, size_t width, enum fit fit)
{
	char *clean = text_clean(text), *result;

	if (!width || text_width(clean) <= width)
		return clean;
	if (fit == FIT_NAME)
		return fit_name(clean, width);
	if (fit == FIT_END) {
		result = memory_print(FOLDED "%s", end_within(clean, width - 1));
	} else {
		clean[bytes_within(clean, width - 1)] = '\0';
		result = memory_print("%s" FOLDED, clean);
	}
	free(clean);
	return result;
}
