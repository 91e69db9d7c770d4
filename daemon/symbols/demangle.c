/* Names as their programmers wrote them, from the names linkers use. */
#include "daemon/symbols/symbols.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* libsupc++'s demangler without the buffer of __cxa_demangle(): it allocates nothing and hands out
 * the text in pieces, so that a short name that stands for gigabytes can be left in the middle.
 * There is no C header for it. Returns 0 for a mangled name. */
int __gcclibcxx_demangle_callback(const char *mangled,
				  void (*callback)(const char *text, size_t bytes, void *context),
				  void *context);

/* The demangler needs stack in proportion; names of this length are no longer names. */
#define CXX_NAME_MAX 16384

struct cxx_text {
	char bytes[SYMBOL_NAME_MAX];
	size_t used;
	jmp_buf full;
};

static void cxx_text_cb(const char *text, size_t bytes, void *context)
{
	struct cxx_text *out = context;
	size_t room = SYMBOL_NAME_MAX - 1 - out->used;

	memcpy(out->bytes + out->used, text, bytes < room ? bytes : room);
	out->used += bytes < room ? bytes : room;
	if (bytes > room)
		longjmp(out->full, 1);
}

static char *demangle_cxx(const char *name)
{
	static struct cxx_text out; /* too large for the stack, and kept by longjmp() */

	if (strncmp(name, "_Z", 2) != 0 && strncmp(name, "___Z", 4) != 0)
		return NULL;
	if (strlen(name) > CXX_NAME_MAX)
		return NULL;
	out.used = 0;
	if (setjmp(out.full) == 0 && __gcclibcxx_demangle_callback(name, cxx_text_cb, &out) != 0)
		return NULL;
	return strndup(out.bytes, out.used);
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
