#include "viewer/pattern.h"

#include <stddef.h>

/* When something does not fit, only the latest '*' need take one character more: whatever came
 * before it fits as early as it can. An open beginning is a '*' too. */
bool pattern_matches(const char *pattern, const char *text)
{
	const char *star = NULL, *from = text;

	if (*pattern == '^')
		pattern++;
	else
		star = pattern;
	while (*pattern) {
		if (*pattern == '*') {
			star = ++pattern;
			from = text;
		} else if (*pattern == '$' && !pattern[1] ? !*text : *text && *pattern == *text) {
			pattern++;
			text += *text != 0;
		} else if (star && *from) {
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
	return true;
}
