/*
 * /tmp/perf-PID.map: what JIT compilers (node --perf-basic-prof, python3 -X perf, Java agents)
 * write for perf(1), a line for each piece of code: START SIZE name, numbers in hexadecimal. A
 * later line replaces an earlier one where they overlap.
 */
#include "daemon/symbols/symbols.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_BYTES_MAX (1LL << 30)

static bool take_hex(char **at, uint64_t *ret_value)
{
	uint64_t value = 0;
	int digits = 0;

	while (**at == ' ' || **at == '\t')
		(*at)++;
	if ((*at)[0] == '0' && ((*at)[1] == 'x' || (*at)[1] == 'X'))
		*at += 2;
	for (; isxdigit((unsigned char)**at); (*at)++, digits++) {
		unsigned char c = (unsigned char)tolower((unsigned char)**at);

		value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*ret_value = value;
	return digits > 0 && digits <= 16 && (**at == ' ' || **at == '\t');
}

bool perf_map_parse(char *line, struct perf_map_entry *ret_entry)
{
	struct perf_map_entry entry;
	char *at = line;
	size_t bytes;

	if (!take_hex(&at, &entry.start) || !take_hex(&at, &entry.size))
		return false;
	while (*at == ' ' || *at == '\t')
		at++;
	bytes = strcspn(at, "\r\n");
	at[bytes] = '\0';
	if (!bytes || !entry.size || entry.start + entry.size < entry.start)
		return false;
	entry.name = at;
	*ret_entry = entry;
	return true;
}

/* Takes a number off the end of `text` with the colon before it; 0: there is none. */
static uint32_t take_number(char *text)
{
	char *colon = strrchr(text, ':');
	unsigned long value;
	char *end;

	if (!colon || !isdigit((unsigned char)colon[1]))
		return 0;
	value = strtoul(colon + 1, &end, 10);
	if (*end || value > UINT32_MAX)
		return 0;
	*colon = '\0';
	return (uint32_t)value;
}

void perf_map_name(char *name, struct symbol_level *ret_level)
{
	struct symbol_level level = { .function = name };
	char *at = name, *file;

	if (strncmp(at, "py::", 4) == 0 && (file = strchr(at + 4, ':')) && file > at + 4 &&
	    file[1]) {
		*file = '\0';
		level.function = at + 4;
		level.file = file + 1;
	} else if ((file = strrchr(at, ' ')) && strchr(file, ':') && strchr(at, ':') &&
		   strchr(at, ':') < file) {
		/* V8: a kind, a mark of how well it is optimised, then function and place. */
		uint32_t column, line;
		char *function = strchr(at, ':') + 1;

		column = take_number(file);
		line = column ? take_number(file) : 0;
		if (column) {
			*file = '\0';
			level.function = function + strspn(function, "*~^+'");
			level.file = file + 1;
			level.line = line ? line : column;
			if (!level.function[0])
				level.function = "(anonymous)";
			if (!level.file[0])
				level.file = NULL;
		}
	}
	*ret_level = level;
}

/* A return address follows the call. */
static uint64_t call_address(const struct symbols_request *request, size_t index)
{
	return request->offsets[index] ? request->offsets[index] - 1 : 0;
}

/* The first of ascending offsets whose call lies at or after `address`. */
static size_t offsets_from(const struct symbols_request *request, uint64_t address)
{
	size_t low = 0, high = request->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (call_address(request, middle) < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A map left by another process of the same number, or planted by another user, is no map. */
static FILE *map_open(const struct symbols_request *request)
{
	int fd = symbols_open(request->path);
	struct stat status;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &status) < 0 || (status.st_uid != geteuid() && status.st_uid != 0) ||
	    status.st_size > MAP_BYTES_MAX ||
	    status.st_mtim.tv_sec + 1 < request->mapped_at / 1000000000) {
		close(fd);
		return NULL;
	}
	return fdopen(fd, "r");
}

void perf_map_resolve(const struct symbols_request *request, struct symbols_sink *sink)
{
	char **names = calloc(request->count + 1, sizeof(*names));
	FILE *map = names ? map_open(request) : NULL;
	struct perf_map_entry entry;
	size_t capacity = 0;
	char *line = NULL;

	if (!map) {
		free(names);
		return;
	}
	while (getline(&line, &capacity, map) > 0) {
		if (!perf_map_parse(line, &entry))
			continue;
		for (size_t i = offsets_from(request, entry.start);
		     i < request->count && call_address(request, i) < entry.start + entry.size;
		     i++) {
			free(names[i]);
			names[i] = strndup(entry.name, SYMBOL_NAME_MAX);
		}
	}
	for (size_t i = 0; i < request->count; i++) {
		struct symbol_level level;

		if (!names[i])
			continue;
		perf_map_name(names[i], &level);
		sink->answer(sink, i, level.file ? SYMBOL_LINE : SYMBOL_NAME, &level, 1);
		free(names[i]);
	}
	free(line);
	free(names);
	fclose(map);
}
