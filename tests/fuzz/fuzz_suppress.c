/* Any text as a file of suppressions, its last line as what they are to match. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/model/suppress.h"
#include "viewer/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* What a pattern means, by trying everything. */
static bool fits(const char *pattern, const char *text)
{
	if (!*pattern)
		return true;
	if (*pattern == '*')
		return fits(pattern + 1, text) || (*text && fits(pattern, text + 1));
	if (*pattern == '$' && !pattern[1])
		return !*text;
	return *text && *pattern == *text && fits(pattern + 1, text + 1);
}

static bool fits_anywhere(const char *pattern, const char *text)
{
	if (*pattern == '^')
		return fits(pattern + 1, text);
	while (!fits(pattern, text))
		if (!*text++)
			return false;
	return true;
}

/* Trying everything takes too long for long ones. */
static bool is_simple(const char *pattern, const char *text)
{
	unsigned stars = 0;

	for (const char *at = pattern; *at; at++)
		stars += *at == '*';
	return stars <= 3 && strlen(text) <= 32;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct suppressions suppressions = { 0 };
	char *copy = malloc(bytes + 1), *rest = copy, *line;

	memcpy(copy, data, bytes);
	copy[bytes] = '\0';
	while ((line = strsep(&rest, "\n")) && rest)
		suppressions_add(&suppressions, line);
	for (size_t i = 0; line && i < suppressions.count; i++) {
		bool matches = pattern_matches(suppressions.patterns[i], line);

		if (is_simple(suppressions.patterns[i], line) &&
		    matches != fits_anywhere(suppressions.patterns[i], line))
			abort();
	}
	suppressions_release(&suppressions);
	free(copy);
	return 0;
}
