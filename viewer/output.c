#include "viewer/output.h"

#include <errno.h>
#include <string.h>

#include "viewer/cli.h"

FILE *output_open(const char *path)
{
	FILE *out = path && strcmp(path, "-") != 0 ? fopen(path, "we") : stdout;

	if (!out)
		die("cannot write '%s': %s", path, strerror(errno));
	return out;
}

void output_close(FILE *out, const char *path)
{
	int bad = ferror(out);

	if (out == stdout ? fflush(out) : fclose(out))
		bad = 1;
	if (bad)
		die("cannot write '%s': %s", path ? path : "standard output", strerror(errno));
}
