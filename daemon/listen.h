/* The socket that programs connect to. */
#ifndef HEAPTAPE_DAEMON_LISTEN_H
#define HEAPTAPE_DAEMON_LISTEN_H

/* A descriptor; -1, and stderr says why. */
int listen_on(const char *path);

/* Says on stderr why that cannot be, and, unless NULL, what to do. Returns -1. */
int listen_trouble(const char *path, const char *why, const char *hint);

#endif
