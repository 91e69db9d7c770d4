#include "viewer/print/shell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *shell_word(const char *word)
{
	static char quoted[512];
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-+=./,:@%";
	char *to = quoted;

	if (*word && strspn(word, plain) == strlen(word) && strlen(word) < sizeof(quoted))
		return strcpy(quoted, word);
	*to++ = '\'';
	for (; *word && to < quoted + sizeof(quoted) - 8; word++) {
		if (*word == '\'') {
			memcpy(to, "'\\''", 4);
			to += 4;
		} else {
			*to++ = *word;
		}
	}
	*to++ = '\'';
	*to = 0;
	return quoted;
}

const char *shell_database_option(const char *database)
{
	static char text[600];
	const char *environment = getenv("HEAPTAPE_DB");

	if (!database ||
	    !strcmp(database, environment && *environment ? environment : "heaptape.db"))
		return "";
	snprintf(text, sizeof(text), " --db %s", shell_word(database));
	return text;
}
