#include "viewer/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *ret_error, int code, const char *format, ...)
{
	va_list list;

	assert(code < 0);
	va_start(list, format);
	vsnprintf(ret_error->text, sizeof(ret_error->text), format, list);
	va_end(list);
	return code;
}
