#include "daemon/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_plain(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_-+=./,:@%^";

	return *word && strspn(word, plain) == strlen(word);
}

char *text_command(char *const *words, size_t count)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (i)
			putc(' ', out);
		if (is_plain(words[i])) {
			fputs(words[i], out);
			continue;
		}
		putc('\'', out);
		for (const char *at = words[i]; *at; at++) {
			if (*at == '\'')
				fputs("'\\''", out);
			else
				putc(*at, out);
		}
		putc('\'', out);
	}
	return fclose(out) == 0 ? text : NULL;
}

char *text_lines(char *const *lines, size_t count)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return NULL;
	for (size_t i = 0; i < count; i++)
		fprintf(out, "%s%s", i ? "\n" : "", lines[i]);
	return fclose(out) == 0 ? text : NULL;
}
