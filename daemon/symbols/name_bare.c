/* A symbol without its version and what compilers add for parts and clones. */
#include "daemon/symbols/name.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

/* The length of "name" without the last of these parts; the same: it has none. */
static size_t without_part(const char *symbol, size_t length)
{
	static const char *const alone[] = { ".cold", ".warm", ".localalias" };
	static const char *const numbered[] = { ".isra",     ".part", ".constprop",
						".lto_priv", ".llvm", ".__uniq" };
	size_t digits = 0;

	for (size_t i = 0; i < sizeof(alone) / sizeof(*alone); i++) {
		size_t bytes = strlen(alone[i]);

		if (length > bytes && !memcmp(symbol + length - bytes, alone[i], bytes))
			return length - bytes;
	}
	while (digits < length && isdigit((unsigned char)symbol[length - digits - 1]))
		digits++;
	if (!digits || length < digits + 2 || symbol[length - digits - 1] != '.')
		return length;
	length -= digits + 1;
	for (size_t i = 0; i < sizeof(numbered) / sizeof(*numbered); i++) {
		size_t bytes = strlen(numbered[i]);

		if (length > bytes && !memcmp(symbol + length - bytes, numbered[i], bytes))
			return length - bytes;
	}
	return length;
}

void name_bare(char *symbol)
{
	size_t length = strcspn(symbol, "@"), shorter;

	if (!length)
		return;
	while ((shorter = without_part(symbol, length)) < length)
		length = shorter;
	symbol[length] = '\0';
}
