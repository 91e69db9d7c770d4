#include "proto/recorder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "heaptape-"
#define RANDOM_LETTERS 6

bool recorder_hold_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat status;

	if (fd < 0)
		return errno != ENOENT;
	flock(fd, LOCK_SH);
	/* Somebody may have swept it before it was held. The descriptor stays open. */
	return fstat(fd, &status) != 0 || status.st_nlink != 0;
}

char *recorder_make_folder(const char *base)
{
	char path[PATH_MAX];

	do {
		snprintf(path, sizeof(path), "%s/" NAME "XXXXXX", base);
		if (!mkdtemp(path))
			return NULL;
	} while (!recorder_hold_folder(path));
	return strdup(path);
}

void recorder_remove_folder(const char *folder)
{
	static const char *const names[] = { RECORDER_SOCKET, RECORDER_SHIM };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}

static bool is_name(const char *name)
{
	const char *random = name + strlen(NAME);

	return !strncmp(name, NAME, strlen(NAME)) && strlen(random) == RANDOM_LETTERS &&
	       strspn(random, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") ==
		       RANDOM_LETTERS;
}

/* Removes the folder, whose descriptor is taken over, if it is one of ours that nobody holds. */
static void sweep(int base, const char *name, int fd)
{
	struct stat status;

	if (fstat(fd, &status) == 0 && status.st_uid == geteuid() &&
	    (status.st_mode & 07777) == 0700 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
		/* Anything else in it is not ours, and keeps it from being removed. */
		if (fstatat(fd, RECORDER_SHIM, &status, AT_SYMLINK_NOFOLLOW) != 0 &&
		    fstatat(fd, RECORDER_SOCKET, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISSOCK(status.st_mode))
			unlinkat(fd, RECORDER_SOCKET, 0);
		unlinkat(base, name, AT_REMOVEDIR);
	}
	close(fd);
}

void recorder_sweep_folders(const char *base)
{
	DIR *folders = opendir(base);
	struct dirent *entry;

	while (folders && (entry = readdir(folders))) {
		int fd;

		if (!is_name(entry->d_name))
			continue;
		fd = openat(dirfd(folders), entry->d_name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			sweep(dirfd(folders), entry->d_name, fd);
	}
	if (folders)
		closedir(folders);
}
