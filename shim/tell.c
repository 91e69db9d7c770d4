#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "shim/libc.h"
#include "shim/prim.h"
#include "shim/sys.h"
#include "shim/tell.h"

struct line {
	char text[1024];
	size_t used;
};

static void put(struct line *line, const char *text)
{
	size_t bytes = strnlen(text, sizeof(line->text) - 1 - line->used);

	memcpy(line->text + line->used, text, bytes);
	line->used += bytes;
}

static void put_number(struct line *line, int number)
{
	char digits[12];
	char *at = digits + sizeof(digits) - 1;
	unsigned rest = number < 0 ? -(unsigned)number : (unsigned)number;

	*at = 0;
	do
		*--at = (char)('0' + rest % 10);
	while (rest /= 10);
	if (number < 0)
		*--at = '-';
	put(line, at);
}

static void put_error(struct line *line, int error)
{
	const char *text = ht_libc()->strerrordesc_np ? ht_libc()->strerrordesc_np(error) : NULL;

	if (text) {
		put(line, text);
		return;
	}
	put(line, "error ");
	put_number(line, error);
}

void ht_tell(const char *format, ...)
{
	struct line line = { .used = 0 };
	va_list args;

	put(&line, "heaptape: ");
	va_start(args, format);
	for (const char *at = format; *at; at++) {
		if (*at != '%') {
			put(&line, (const char[]){ *at, 0 });
			continue;
		}
		at++;
		if (*at == 's')
			put(&line, va_arg(args, const char *));
		else if (*at == 'd')
			put_number(&line, va_arg(args, int));
		else if (*at == 'e')
			put_error(&line, va_arg(args, int));
	}
	va_end(args);
	line.text[line.used++] = '\n';
	if (prim_may(PRIM_WRITE))
		sys_call3(SYS_write, STDERR_FILENO, line.text, line.used);
}
