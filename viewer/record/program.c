#include "viewer/record/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/ring.h"
#include "viewer/memory.h"

static int program_check(const char *path)
{
	struct stat status;

	if (stat(path, &status))
		return -errno;
	if (S_ISDIR(status.st_mode))
		return -EISDIR;
	if (!S_ISREG(status.st_mode))
		return -EACCES;
	return access(path, X_OK) ? -errno : 0;
}

int program_find(const char *name, char **ret_path)
{
	const char *list = getenv("PATH");
	int result = -ENOENT;

	if (!*name)
		return -ENOENT;
	if (strchr(name, '/')) {
		result = program_check(name);
		if (!result)
			*ret_path = memory_copy(name);
		return result == -ENOTDIR ? -ENOENT : result;
	}
	for (list = list ? list : "/bin:/usr/bin"; list;) {
		const char *end = strchrnul(list, ':');
		char *path = end == list ? memory_print("./%s", name)
					 : memory_print("%.*s/%s", (int)(end - list), list, name);
		int found = program_check(path);

		if (!found) {
			*ret_path = path;
			return 0;
		}
		free(path);
		/* A directory of that name, or a file nobody may run, hides nothing further on. */
		if (found == -EACCES)
			result = -EACCES;
		list = *end ? end + 1 : NULL;
	}
	return result;
}

static long call(long number, long a, long b, long c, long d, long e)
{
	long ret = syscall(number, a, b, c, d, e);

	return ret < 0 ? -errno : ret;
}

enum image_reason program_obstacle(const char *path)
{
	const char *preload = getenv("LD_PRELOAD");
	struct rlimit limit;
	struct image image;

	image_look(call, AT_FDCWD, path, &image);
	if (image.reason != IMAGE_RECORDABLE)
		return image.reason;
	if (preload && image_list_has_checker(preload))
		return IMAGE_CHECKER;
	if (getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur < RING_LEAST_DATA_BYTES)
		return IMAGE_DATA_LIMIT;
	return IMAGE_RECORDABLE;
}

int program_exec(const char *path, char **argv, char **environment)
{
	size_t count = 0;
	char **words;

	execve(path, argv, environment);
	if (errno != ENOEXEC)
		return -errno;
	while (argv[count])
		count++;
	words = memory_alloc((count + 3) * sizeof(*words));
	words[0] = (char *)"sh";
	words[1] = (char *)path;
	for (size_t i = 1; i < count; i++)
		words[i + 1] = argv[i];
	execve("/bin/sh", words, environment);
	return -errno;
}
