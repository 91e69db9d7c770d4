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

/* Control characters become '?', bytes that are no UTF-8 become U+FFFD. */
static char *text_clean(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t left = strlen(text);
	char *clean = must_alloc(3 * left + 1), *to = clean;

	while (left) {
		size_t length = utf8_length(at, left);

		if (*at == '\n' || *at == '\t') {
			*to++ = ' ';
		} else if (*at < 0x20 || *at == 0x7f || (*at == 0xc2 && length && at[1] < 0xa0)) {
			*to++ = '?';
		} else if (length) {
			memcpy(to, at, length);
			to += length;
		} else {
			memcpy(to, "\xef\xbf\xbd", 3);
			to += 3;
		}
		length = length ? length : 1;
		at += length;
		left -= length;
	}
	*to = 0;
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
