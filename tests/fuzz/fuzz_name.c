/* Any text as a function's full name, of C++ and of Rust, and as a symbol with suffixes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/symbols/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const char *const symbols[] = { NULL, "_Z", "_R", "c" };
	char *text = malloc(bytes + 1);
	struct name name;

	memcpy(text, data, bytes);
	text[bytes] = '\0';
	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++) {
		name_make(text, symbols[i], &name);
		if (!name.display || !name.key || strlen(name.display) > 3 * bytes + 64 ||
		    strlen(name.key) > 3 * bytes + 64)
			abort();
		name_release(&name);
	}
	name_bare(text);
	if (bytes && data[0] && !*text)
		abort();
	free(text);
	return 0;
}
