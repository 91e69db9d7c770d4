/* Text on a terminal: width, shortening, and nothing in it that could steer the terminal. */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "viewer/cli.h"
#include "viewer/table.h"
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
	FILE *memory = open_memstream(&valid, &bytes);

	if (memory)
		text_write(memory, text, strlen(text), false);
	if (!memory || fclose(memory))
		die("out of memory");
	return valid;
}

/* One line for a screen: line breaks and tabs become blanks, other control characters '?', bytes
 * that are not UTF-8 U+FFFD. */
static char *text_clean(const char *text)
{
	char *clean = NULL;
	size_t bytes;
	FILE *memory = open_memstream(&clean, &bytes);

	if (!memory)
		die("out of memory");
	for (const char *at = text; *at;) {
		size_t length = strcspn(at, "\n\t");

		text_write(memory, at, length, true);
		at += length;
		if (*at) {
			fputc(' ', memory);
			at++;
		}
	}
	if (fclose(memory))
		die("out of memory");
	return clean;
}

char *text_fit(const char *text, size_t width, int keep_end)
{
	char *clean = text_clean(text);
	size_t total = text_width(clean), seen = 0;
	unsigned char *at = (unsigned char *)clean;
	char *result;

	if (!width || total <= width)
		return clean;
	if (keep_end) {
		while (*at && total - seen > width - 1) {
			size_t length = utf8_length(at, strlen((char *)at));

			seen += character_width(at, length);
			at += length ? length : 1;
		}
		result = must_print("…%s", (char *)at);
	} else {
		while (*at) {
			size_t length = utf8_length(at, strlen((char *)at));
			size_t columns = character_width(at, length);

			if (seen + columns > width - 1)
				break;
			seen += columns;
			at += length ? length : 1;
		}
		*at = 0;
		result = must_print("%s…", clean);
	}
	free(clean);
	return result;
}
