#include "daemon/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 512

int listen_trouble(const char *path, const char *why, const char *hint)
{
	fprintf(stderr, "heaptaped: cannot listen on '%s': %s%s%s\n", path, why, hint ? "; " : "",
		hint ? hint : "");
	return -1;
}

/* A socket file nobody listens on is left over from a daemon that was killed. */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat status;
	int fd, error = 0;

	if (lstat(address->sun_path, &status) != 0)
		return 0;
	if (!S_ISSOCK(status.st_mode))
		return -ENOTSOCK;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		error = -EADDRINUSE;
	else if (errno == ECONNREFUSED && unlink(address->sun_path) != 0)
		error = -errno;
	close(fd);
	return error;
}

int listen_on(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd, error;

	if (strlen(path) >= sizeof(address.sun_path)) {
		char hint[96];

		snprintf(hint, sizeof(hint), "give a path of at most %zu bytes, in /tmp for one",
			 sizeof(address.sun_path) - 1);
		return listen_trouble(path, "the path is too long for a socket", hint);
	}
	strcpy(address.sun_path, path);
	error = remove_stale(&address);
	if (error == -EADDRINUSE)
		return listen_trouble(path, "another heaptaped listens there",
				      "use it, or give another --socket");
	if (error == -ENOTSOCK)
		return listen_trouble(path, "a file that is not a socket is in the way",
				      "give another --socket");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return listen_trouble(path, strerror(errno), NULL);
	mask = umask(0177);
	error = bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
				listen(fd, BACKLOG) != 0
			? errno
			: 0;
	umask(mask);
	if (error) {
		close(fd);
		return listen_trouble(path, strerror(error),
				      error == ENOENT	? "make its folder first"
				      : error == EACCES ? "choose a folder you may write to"
							: NULL);
	}
	return fd;
}
