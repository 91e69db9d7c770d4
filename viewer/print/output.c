#include "viewer/print/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/memory.h"

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
		database = memory_print("%.*s", (int)(length - ending), path);
		found = is_sqlite(database);
		free(database);
	}
	return found;
}

static int refuse_database(const char *path, struct error *error)
{
	if (is_sqlite(path))
		return error_set(error, -EEXIST,
				 "cannot write '%s': it is an SQLite database and would be "
				 "overwritten. Name "
				 "another file with -o; --db names the database to read",
				 path);
	if (is_beside_sqlite(path))
		return error_set(
			error, -EEXIST,
			"cannot write '%s': it belongs to the SQLite database beside it. Name "
			"another file with -o",
			path);
	return 0;
}

static int fail(const char *path, int number, struct error *error)
{
	return error_set(error, -number, "cannot write '%s': %s", path, strerror(number));
}

static bool is_stdout(const char *path)
{
	return !path || !strcmp(path, "-");
}

int output_open(const char *path, FILE **ret_out, struct error *error)
{
	FILE *out = stdout;
	int result = is_stdout(path) ? 0 : refuse_database(path, error);

	if (!result && !is_stdout(path)) {
		out = fopen(path, "we");
		result = out ? 0 : fail(path, errno, error);
	}
	if (!result)
		*ret_out = out;
	return result;
}

int output_close(FILE *out, const char *path, struct error *error)
{
	int bad = ferror(out);

	if (out == stdout ? fflush(out) : fclose(out))
		bad = 1;
	if (bad)
		return fail(path ? path : "standard output", errno ? errno : EIO, error);
	return 0;
}

int output_redirect(const char *path, struct error *error)
{
	int result = is_stdout(path) ? 0 : refuse_database(path, error);

	if (result || is_stdout(path))
		return result;
	if (!freopen(path, "we", stdout))
		return fail(path, errno, error);
	redirected = path;
	return 0;
}

const char *output_name(void)
{
	return redirected ? redirected : "standard output";
}
