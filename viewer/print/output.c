#include "viewer/print/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/command/cli.h"

static const char sqlite_magic[] = "SQLite format 3"; /* with its closing zero byte */

static const char *redirected;

static bool is_sqlite(const char *path)
{
	char head[sizeof(sqlite_magic)];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool found = fd >= 0 && read(fd, head, sizeof(head)) == (ssize_t)sizeof(head) &&
		     !memcmp(head, sqlite_magic, sizeof(head));

	if (fd >= 0)
		close(fd);
	return found;
}

/* Whether `path` is what SQLite keeps beside a database: "FILE-wal", "FILE-shm", "FILE-journal". */
static bool is_beside_sqlite(const char *path)
{
	static const char *const endings[] = { "-wal", "-shm", "-journal" };
	size_t length = strlen(path);
	bool found = false;

	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		size_t ending = strlen(endings[i]);
		char *database;

		if (length <= ending || strcmp(path + length - ending, endings[i]) != 0)
			continue;
		database = must_print("%.*s", (int)(length - ending), path);
		found = is_sqlite(database);
		free(database);
	}
	return found;
}

static void refuse_database(const char *path)
{
	if (is_sqlite(path))
		die("cannot write '%s': it is an SQLite database and would be overwritten. Name "
		    "another file with -o; --db names the database to read",
		    path);
	if (is_beside_sqlite(path))
		die("cannot write '%s': it belongs to the SQLite database beside it. Name another "
		    "file with -o",
		    path);
}

static bool is_stdout(const char *path)
{
	return !path || !strcmp(path, "-");
}

FILE *output_open(const char *path)
{
	FILE *out;

	if (is_stdout(path))
		return stdout;
	refuse_database(path);
	out = fopen(path, "we");
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

void output_redirect(const char *path)
{
	if (is_stdout(path))
		return;
	refuse_database(path);
	if (!freopen(path, "we", stdout))
		die("cannot write '%s': %s", path, strerror(errno));
	redirected = path;
}

const char *output_name(void)
{
	return redirected ? redirected : "standard output";
}
