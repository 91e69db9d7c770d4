#include "daemon/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/first_page.h"

#define KEPT_MAX 512u
/* Descriptors are needed for programs first. */
#define KEPT_PART 8u
/* A file changed less long before the run began may have been changed since it was mapped. */
#define FRESH_NS INT64_C(2000000000)
#define FDS_MAX 4096

static const char deleted[] = KEPT_DELETED;

static unsigned room(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / KEPT_PART >= KEPT_MAX)
		return KEPT_MAX;
	return (unsigned)(limit.rlim_cur / KEPT_PART);
}

/* The line of /proc/PID/maps about `start`: "LOW-HIGH ... NAME". */
static FILE *maps_find(const struct kept_user *user, uint64_t start, char **line, size_t *capacity)
{
	char path[64];
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)user->pid);
	maps = user->pid > 0 ? fopen(path, "re") : NULL;
	while (maps && getline(line, capacity, maps) > 0) {
		char *end;
		uint64_t low = strtoull(*line, &end, 16);

		if (*end == '-' && low <= start && start < strtoull(end + 1, NULL, 16))
			return maps;
	}
	if (maps)
		fclose(maps);
	return NULL;
}

void kept_kernel_name(const struct kept_user *user, uint64_t start, char *ret, unsigned bytes)
{
	char *line = NULL, *name;
	size_t capacity = 0;
	FILE *maps = maps_find(user, start, &line, &capacity);

	ret[0] = '\0';
	name = maps ? strchr(line, '/') : NULL;
	if (name) {
		name[strcspn(name, "\n")] = '\0';
		snprintf(ret, bytes, "%s", name);
	}
	if (maps)
		fclose(maps);
	free(line);
}

static bool is_deleted(const char *name)
{
	size_t bytes = strlen(name), tail = sizeof(deleted) - 1;

	return bytes > tail && strcmp(name + bytes - tail, deleted) == 0;
}

static int regular(int fd)
{
	struct stat status;

	if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* `path` as the process sees it: it may have another root folder, or other mounts. */
static int open_as(const struct kept_user *user, const char *path)
{
	struct open_how how = { .flags = OPEN_FLAGS, .resolve = RESOLVE_IN_ROOT };
	char root[64];
	struct stat theirs, ours;
	int root_fd, fd;

	snprintf(root, sizeof(root), "/proc/%d/root", (int)user->pid);
	if (user->pid <= 0 || stat(root, &theirs) != 0 || stat("/", &ours) != 0 ||
	    (theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino))
		return symbols_open(path);
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = root_fd < 0 ? -1 : (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	if (root_fd >= 0)
		close(root_fd);
	return regular(fd);
}

/* A link of /proc that leads to the file the kernel calls `name`. */
static int open_link(const char *link, const char *name)
{
	char target[PATH_MAX];
	ssize_t bytes = readlink(link, target, sizeof(target) - 1);

	if (bytes <= 0)
		return -1;
	target[bytes] = '\0';
	return strcmp(target, name) == 0 ? regular(open(link, OPEN_FLAGS)) : -1;
}

static int open_mapped(const struct kept_user *user, uint64_t start, const char *name)
{
	char *line = NULL, link[96];
	size_t capacity = 0;
	FILE *maps = maps_find(user, start, &line, &capacity);
	int fd = -1;

	if (maps) {
		line[strcspn(line, " ")] = '\0';
		snprintf(link, sizeof(link), "/proc/%d/map_files/%.40s", (int)user->pid, line);
		fd = open_link(link, name); /* root may */
		fclose(maps);
	}
	free(line);
	return fd;
}

static int open_descriptor(const struct kept_user *user, const char *name)
{
	char path[64], link[sizeof(path) + NAME_MAX + 2];
	struct dirent *entry;
	DIR *folder;
	int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)user->pid);
	folder = opendir(path);
	for (int i = 0; folder && fd < 0 && i < FDS_MAX && (entry = readdir(folder)); i++) {
		snprintf(link, sizeof(link), "%s/%s", path, entry->d_name);
		fd = open_link(link, name);
	}
	if (folder)
		closedir(folder);
	return fd;
}

/* Of a file that has no name any more. */
static int open_nameless(const struct kept_user *user, uint64_t start, const char *name)
{
	char link[64];
	int fd;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)user->pid);
	fd = open_link(link, name);
	if (fd < 0)
		fd = open_mapped(user, start, name);
	return fd < 0 ? open_descriptor(user, name) : fd;
}

static int open_file(const struct kept_user *user, const char *path, uint64_t start)
{
	char name[PATH_MAX + sizeof(deleted)];
	int fd = strncmp(path, "/proc/", 6) != 0 ? open_as(user, path) : -1;
	struct stat status;

	if (fd >= 0 && fstat(fd, &status) == 0 &&
	    status.st_ctim.tv_sec * INT64_C(1000000000) + status.st_ctim.tv_nsec + FRESH_NS <
		    (int64_t)user->started_at)
		return fd;
	kept_kernel_name(user, start, name, sizeof(name));
	if (!name[0] || (fd >= 0 && !is_deleted(name)))
		return fd;
	if (fd >= 0)
		close(fd);
	return is_deleted(name) ? open_nameless(user, start, name) : open_as(user, name);
}

static void offer_release(struct kept_offer *offer)
{
	close(offer->fd);
	offer->user = NULL;
}

void kept_offer(struct kept *kept, const struct kept_user *user, int fd)
{
	struct kept_offer *offer = &kept->offers[kept->next_offer % KEPT_OFFERS];
	unsigned char page[FIRST_PAGE_BYTES] = { 0 };

	fd = regular(fd);
	if (fd < 0)
		return;
	if (pread(fd, page, sizeof(page), 0) <= 0 || !room()) {
		close(fd);
		return;
	}
	if (offer->user)
		offer_release(offer);
	kept->next_offer++;
	*offer = (struct kept_offer){ user, first_page_sum(page), fd };
}

/* NULL: there is none. */
static const struct kept_offer *find_offer(const struct kept *kept, const struct kept_user *user,
					   uint64_t first_page)
{
	for (unsigned i = 0; first_page && i < KEPT_OFFERS; i++)
		if (kept->offers[i].user == user && kept->offers[i].first_page == first_page)
			return &kept->offers[i];
	return NULL;
}

void kept_offer_name(const struct kept *kept, const struct kept_user *user, uint64_t first_page,
		     char *ret, unsigned bytes)
{
	const struct kept_offer *offer = find_offer(kept, user, first_page);
	char link[64];
	ssize_t got = 0;

	if (offer) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", offer->fd);
		got = readlink(link, ret, bytes - 1);
	}
	ret[got > 0 ? got : 0] = '\0';
}

void kept_offers_end(struct kept *kept, const struct kept_user *user)
{
	for (unsigned i = 0; i < KEPT_OFFERS; i++)
		if (kept->offers[i].user == user)
			offer_release(&kept->offers[i]);
}

void kept_add(struct kept *kept, const struct kept_user *user, int64_t module_id, const char *path,
	      uint64_t start, uint64_t first_page)
{
	const struct kept_offer *offer = find_offer(kept, user, first_page);
	unsigned most = room();
	struct symbols_held *file;
	int fd;

	if (module_id <= 0 || path[0] != '/' || !most)
		return;
	for (unsigned i = 0; i < kept->count; i++)
		if (kept->files[i].module_id == module_id)
			return;
	if (!kept->files)
		kept->files = calloc(KEPT_MAX, sizeof(*kept->files));
	if (!kept->files)
		return;
	fd = offer ? fcntl(offer->fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd < 0)
		fd = open_file(user, path, start);
	if (fd < 0)
		return;
	if (kept->count < most) {
		file = &kept->files[kept->count++];
	} else {
		file = &kept->files[kept->next++ % kept->count];
		close(file->fd);
	}
	*file = (struct symbols_held){ module_id, fd };
}

void kept_clear(struct kept *kept)
{
	for (unsigned i = 0; i < KEPT_OFFERS; i++)
		if (kept->offers[i].user)
			offer_release(&kept->offers[i]);
	for (unsigned i = 0; i < kept->count; i++)
		close(kept->files[i].fd);
	free(kept->files);
	kept->files = NULL;
	kept->count = kept->next = 0;
}

bool kept_any(const struct kept *kept)
{
	for (unsigned i = 0; i < KEPT_OFFERS; i++)
		if (kept->offers[i].user)
			return true;
	return kept->count > 0;
}
