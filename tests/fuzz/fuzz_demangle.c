/* Any text as a linker's name: C++, Rust and D. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/symbols/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char *name = malloc(bytes + 1), *got;

	memcpy(name, data, bytes);
	name[bytes] = '\0';
	/* The C++ demangler is a library's; what is fuzzed is ours. */
	got = name[0] == '_' && name[1] == 'D' ? demangle_d(name) : demangle_rust(name);
	if (got && strlen(got) >= SYMBOL_NAME_MAX)
		abort();
	free(got);
	free(name);
	return 0;
}
