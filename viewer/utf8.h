/* UTF-8 in text that programs have made: it may be anything. */
#ifndef HEAPTAPE_VIEWER_UTF8_H
#define HEAPTAPE_VIEWER_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, in the place of a byte that is not UTF-8 */

/* Bytes of the UTF-8 character at `text`; 0 when there is none that is well formed. */
static inline size_t utf8_length(const unsigned char *text, size_t bytes)
{
	size_t length;

	if (!bytes)
		return 0;
	if (text[0] < 0x80)
		return 1;
	if (text[0] >= 0xc2 && text[0] <= 0xdf)
		length = 2;
	else if ((text[0] & 0xf0) == 0xe0)
		length = 3;
	else if (text[0] >= 0xf0 && text[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (length > bytes)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates and what lies beyond U+10FFFF. */
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
	    (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return length;
}

/* Whether the character of `length` bytes is a control character (C0, DEL or C1). */
static inline bool utf8_is_control(const unsigned char *text, size_t length)
{
	return text[0] < 0x20 || text[0] == 0x7f ||
	       (length == 2 && text[0] == 0xc2 && text[1] < 0xa0);
}

#endif
