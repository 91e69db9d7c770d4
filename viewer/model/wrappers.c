#include "viewer/model/wrappers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/command/cli.h"
#include "viewer/model/suppress.h"

static char **patterns;
static size_t count;
static bool loaded;

static char *usual_path(void)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (config && *config == '/')
		return must_print("%s/heaptape/wrappers", config);
	return home && *home ? must_print("%s/.config/heaptape/wrappers", home) : NULL;
}

static void take(char *line)
{
	char *text = line + strspn(line, " \t"), *end = text + strcspn(text, "#\r\n");

	while (end > text && strchr(" \t", end[-1]))
		end--;
	*end = '\0';
	if (!*text)
		return;
	patterns = must_grow(patterns, (count + 1) * sizeof(*patterns));
	patterns[count++] = must_print("^%s$", text);
}

void wrappers_load(void)
{
	char *path = shared.wrappers ? must_copy(shared.wrappers) : usual_path(), *line = NULL;
	FILE *file = path && !loaded ? fopen(path, "re") : NULL;
	size_t room = 0;

	if (!file && shared.wrappers && !loaded)
		die("cannot read the wrappers '%s': %s", path, strerror(errno));
	loaded = true;
	while (file && getline(&line, &room, file) >= 0)
		take(line);
	if (file && ferror(file))
		die("cannot read the wrappers '%s': %s", path, strerror(errno));
	if (file)
		fclose(file);
	free(line);
	free(path);
}

/* Without parameters, as far as they are the last thing in brackets. */
static char *bare(const char *function)
{
	char *name = must_copy(function), *close = strrchr(name, ')');
	int depth = 0;

	for (char *at = close; at && at > name; at--) {
		depth += (*at == ')') - (*at == '(');
		if (!depth) {
			*at = '\0';
			break;
		}
	}
	return name;
}

bool wrappers_have(const char *function)
{
	bool found = false;
	char *name;

	if (!count)
		return false;
	name = bare(function);
	for (size_t i = 0; i < count && !found; i++)
		found = suppression_matches(patterns[i], function) ||
			suppression_matches(patterns[i], name);
	free(name);
	return found;
}
