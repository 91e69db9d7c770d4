/* Any text as a JIT compiler's map. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/symbols/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char *text = malloc(bytes + 1), *rest = text, *line;

	memcpy(text, data, bytes);
	text[bytes] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		struct perf_map_entry entry;
		struct symbol_level level;
		char *name;

		if (!perf_map_parse(line, &entry))
			continue;
		if (entry.start + entry.size < entry.start || !entry.size || !entry.name[0])
			abort();
		name = strdup(entry.name);
		perf_map_name(name, &level);
		if (!level.function || !level.function[0] || (level.file && !level.file[0]))
			abort();
		free(name);
	}
	free(text);
	return 0;
}
