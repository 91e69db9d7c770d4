/* The socket, the loop, the regular work. */
#ifndef HEAPTAPE_DAEMON_SERVER_H
#define HEAPTAPE_DAEMON_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/peer.h"
#include "daemon/process.h"
#include "daemon/resolver.h"

struct event_base;
struct event;

struct server_options {
	const char *socket_path;
	const char *db_path;
	bool private;	      /* end when the last run is done and nobody is connected */
	unsigned patience_ms; /* how long the database may be locked before recording stops */
	int ready_fd;	      /* told with one byte when listening; -1 none */
};

struct server {
	struct daemon daemon;
	const struct server_options *options;
	struct event_base *base;
	struct event *acceptable, *tick, *terminate, *interrupt, *accept_again, *settle;
	struct peers peers;
	struct resolver resolver;
	int listen_fd;
	int spare_fd;		/* given up to be able to refuse somebody */
	uint64_t full_since_ns; /* no descriptor is left for those who wait; 0: there is */
	pid_t starter; /* whom a private daemon waits for until somebody was served; 0: nobody */
};

/* Runs until it is told to stop. Returns the exit status; has said why on stderr. */
int server_run(const struct server_options *options);

/* For peer.c: the event that tells of its process's end; NULL when it cannot be told. */
struct event *server_watch_end(struct server *server, struct peer *peer, int pidfd);
#endif
