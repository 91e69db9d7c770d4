/* Names as their programmers wrote them, from the names linkers use. */
#include "daemon/symbols.h"

#include <stdlib.h>
#include <string.h>

/* libstdc++'s demangler, part of the C++ ABI; there is no C header for it. */
char *__cxa_demangle(const char *mangled, char *buffer, size_t *length, int *ret_status);

/* The demangler recurses over its input; names of this length are no longer names. */
#define CXX_NAME_MAX 16384

char *demangle_cxx(const char *name)
{
	int status;

	if (strncmp(name, "_Z", 2) != 0 && strncmp(name, "___Z", 4) != 0)
		return NULL;
	if (strlen(name) > CXX_NAME_MAX)
		return NULL;
	return __cxa_demangle(name, NULL, NULL, &status);
}

char *demangle(const char *name)
{
	char *text = NULL;

	if (name[0] != '_')
		return NULL;
	/* Rust's older names look like C++ names, so Rust is asked first. */
	if (name[1] == 'R' || name[1] == 'Z')
		text = demangle_rust(name);
	if (!text && name[1] == 'D')
		text = demangle_d(name);
	if (!text)
		text = demangle_cxx(name);
	return text;
}
