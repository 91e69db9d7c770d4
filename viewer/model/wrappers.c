#include "viewer/model/wrappers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/pattern.h"

static char *usual_path(void)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (config && *config == '/')
		return memory_print("%s/heaptape/wrappers", config);
	return home && *home ? memory_print("%s/.config/heaptape/wrappers", home) : NULL;
}

static void wrappers_add(struct wrappers *wrappers, char *line)
{
	char *text = line + strspn(line, " \t"), *end = text + strcspn(text, "#\r\n");

	while (end > text && strchr(" \t", end[-1]))
		end--;
	*end = '\0';
	if (!*text)
		return;
	wrappers->patterns = memory_grow(wrappers->patterns,
					 (wrappers->count + 1) * sizeof(*wrappers->patterns));
	wrappers->patterns[wrappers->count++] = memory_print("^%s$", text);
}

static int wrappers_fail(struct error *error, const char *path)
{
	return error_set(error, -errno, "cannot read the wrappers '%s': %s", path, strerror(errno));
}

static int wrappers_read(FILE *file, const char *path, struct wrappers *wrappers,
			 struct error *error)
{
	char *line = NULL;
	size_t room = 0;
	int result = 0;

	while (getline(&line, &room, file) >= 0)
		wrappers_add(wrappers, line);
	if (ferror(file))
		result = wrappers_fail(error, path);
	free(line);
	return result;
}

int wrappers_load(const char *path, struct wrappers *ret_wrappers, struct error *error)
{
	char *usual = path ? NULL : usual_path();
	const char *name = path ? path : usual;
	FILE *file = name ? fopen(name, "re") : NULL;
	struct wrappers wrappers = { NULL, 0 };
	int result = 0;

	if (file)
		result = wrappers_read(file, name, &wrappers, error);
	else if (path)
		result = wrappers_fail(error, path);
	if (file)
		fclose(file);
	free(usual);
	if (result)
		wrappers_release(&wrappers);
	else
		*ret_wrappers = wrappers;
	return result;
}

void wrappers_release(struct wrappers *wrappers)
{
	for (size_t i = 0; i < wrappers->count; i++)
		free(wrappers->patterns[i]);
	free(wrappers->patterns);
	*wrappers = (struct wrappers){ NULL, 0 };
}

/* Without parameters, as far as they are the last thing in brackets. */
static char *bare(const char *function)
{
	char *name = memory_copy(function), *close = strrchr(name, ')');
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

bool wrappers_have(const struct wrappers *wrappers, const char *function)
{
	bool found = false;
	char *name;

	if (!wrappers->count)
		return false;
	name = bare(function);
	for (size_t i = 0; i < wrappers->count && !found; i++)
		found = pattern_matches(wrappers->patterns[i], function) ||
			pattern_matches(wrappers->patterns[i], name);
	free(name);
	return found;
}
