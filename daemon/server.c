#include "daemon/server.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/commit.h"
#include "daemon/listen.h"
#include "daemon/run.h"
#include "daemon/unrecorded.h"

#define TICK_MS 50
#define SILENT_NS 10000000000u
#define ACCEPT_PAUSE_MS 200
/* Who waits longer for a descriptor to become free is refused, as programs may wait for one another. */
#define FULL_NS 2000000000u
/* A daemon that stops reads for so long at most. */
#define LAST_READS_NS 1000000000u

static void changed_cb(void *context)
{
	struct server *server = context;

	event_active(server->settle, EV_TIMEOUT, 0);
}

static const struct resolver_calls resolver_calls = { .changed = changed_cb };
static const struct peers_calls peers_calls = { .changed = changed_cb };

/* Same user or root; nobody else is served. */
static bool welcome(int fd, pid_t *ret_pid)
{
	struct ucred ucred;
	socklen_t bytes = sizeof(ucred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &bytes) != 0)
		return false;
	*ret_pid = ucred.pid;
	return ucred.uid == geteuid() || ucred.uid == 0;
}

static bool is_connected(const struct server *server, const struct peer *peer)
{
	for (const struct peer *at = server->peers.first; at; at = at->next)
		if (at == peer)
			return true;
	return false;
}

/* Makes room by dropping who has said nothing for longest. False: nobody of that kind. */
static bool drop_silent(struct server *server)
{
	for (;;) {
		struct peer *oldest = NULL;

		for (struct peer *peer = server->peers.first; peer && !oldest; peer = peer->next)
			if (peer->state == PEER_NEW)
				oldest = peer;
		if (!oldest)
			return false;
		peer_read(oldest); /* perhaps it has, just now */
		if (!is_connected(server, oldest))
			return true;
		if (oldest->state == PEER_NEW) {
			peer_free(oldest);
			return true;
		}
	}
}

/* Nobody can be taken in for now. */
static void accept_later(struct server *server)
{
	struct timeval pause = { 0, ACCEPT_PAUSE_MS * 1000 };
	uint64_t now = clock_monotonic_ns();
	int fd;

	event_del(server->acceptable);
	event_add(server->accept_again, &pause);
	if (!server->full_since_ns)
		server->full_since_ns = now;
	if (now - server->full_since_ns < FULL_NS || server->spare_fd < 0)
		return;
	close(server->spare_fd);
	while ((fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		close(fd);
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	writer_note(&server->daemon.writer, 0, 0, 0,
		    "programs were refused: heaptaped had no descriptor left");
}

static void accept_cb(evutil_socket_t fd, short what, void *context)
{
	struct server *server = context;

	(void)what;
	for (int i = 0; i < 64; i++) {
		int peer_fd = accept4((int)fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		pid_t pid = 0;

		if (peer_fd < 0 &&
		    (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
			if (kept_any(&server->daemon.kept)) {
				kept_clear(&server->daemon.kept);
				continue;
			}
			if (drop_silent(server))
				continue;
			accept_later(server);
			return;
		}
		if (peer_fd < 0)
			return;
		server->full_since_ns = 0;
		if (!welcome(peer_fd, &pid) || peer_new(&server->peers, peer_fd, pid) != 0)
			close(peer_fd);
	}
}

/*
 * Ends runs that are over: no process of them is alive, and the connections that were waiting to be
 * accepted after that was seen are none of theirs.
 */
static void settle_cb(evutil_socket_t fd, short what, void *context)
{
	struct server *server = context;
	struct peer *peer, *next_peer;
	struct run *run, *next_run;
	bool strangers = false;

	(void)fd;
	(void)what;
	for (run = server->daemon.runs; run; run = run->next)
		run_look(run);
	accept_cb(server->listen_fd, EV_READ, server);
	for (peer = server->peers.first; peer; peer = next_peer) {
		next_peer = peer->next;
		if (peer->is_gone)
			peer_gone(peer);
		else if (peer->state == PEER_NEW)
			peer_read(peer);
	}
	for (peer = server->peers.first; peer; peer = next_peer) {
		next_peer = peer->next;
		if (peer->state == PEER_UNRECORDED && peer_read(peer) &&
		    unrecorded_is_due(peer->unrecorded))
			peer_free(peer);
	}
	for (peer = server->peers.first; peer; peer = peer->next)
		strangers = strangers || peer->state == PEER_NEW;
	commit_check(&server->daemon);
	for (run = server->daemon.runs; run; run = next_run) {
		next_run = run->next;
		if (!run_check(run, strangers))
			changed_cb(server);
	}
	if (server->options->private && server->peers.had_any && !server->peers.first &&
	    !server->daemon.runs && !server->resolver.worker.pid)
		event_base_loopbreak(server->base);
}

static void accept_again_cb(evutil_socket_t fd, short what, void *context)
{
	struct server *server = context;

	(void)fd;
	(void)what;
	event_add(server->acceptable, NULL);
}

static void tick_cb(evutil_socket_t fd, short what, void *context)
{
	struct server *server = context;
	struct daemon *daemon = &server->daemon;
	uint64_t now = clock_monotonic_ns();
	struct peer *peer, *next_peer;

	(void)fd;
	(void)what;
	for (peer = server->peers.first; peer; peer = next_peer) {
		next_peer = peer->next;
		if (peer->state == PEER_NEW && now - peer->connected_ns > SILENT_NS)
			peer_free(peer);
	}
	for (struct process *process = daemon->processes; process; process = process->next)
		process_poll(process);
	follow_tick(daemon);
	controls_check(&server->peers.controls);
	commit_due(daemon);
	resolver_tick(&server->resolver);
	if (daemon->runs)
		changed_cb(server);
	if (server->starter && !server->peers.had_any && getppid() != server->starter)
		event_base_loopbreak(server->base);
}

static void run_done(struct daemon *daemon, int64_t run_id, bool has_stacks)
{
	struct server *server = (struct server *)((char *)daemon - offsetof(struct server, daemon));

	if (has_stacks)
		resolver_request(&server->resolver, run_id);
}

static const struct daemon_calls daemon_calls = { .undone = process_cut_all, .run_done = run_done };

static void stop_cb(evutil_socket_t number, short what, void *context)
{
	struct server *server = context;

	(void)number;
	(void)what;
	event_base_loopbreak(server->base);
}

static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static bool make_events(struct server *server)
{
	struct timeval step = { 0, TICK_MS * 1000 };

	server->base = event_base_new();
	if (!server->base)
		return false;
	server->acceptable =
		event_new(server->base, server->listen_fd, EV_READ | EV_PERSIST, accept_cb, server);
	server->accept_again = event_new(server->base, -1, 0, accept_again_cb, server);
	server->settle = event_new(server->base, -1, 0, settle_cb, server);
	server->tick = event_new(server->base, -1, EV_PERSIST, tick_cb, server);
	server->terminate = evsignal_new(server->base, SIGTERM, stop_cb, server);
	server->interrupt = evsignal_new(server->base, SIGINT, stop_cb, server);
	return server->acceptable && server->accept_again && server->settle && server->tick &&
	       server->terminate && server->interrupt && event_add(server->acceptable, NULL) == 0 &&
	       event_add(server->tick, &step) == 0 && event_add(server->terminate, NULL) == 0 &&
	       event_add(server->interrupt, NULL) == 0;
}

static void free_events(struct server *server)
{
	struct event *events[] = { server->acceptable, server->accept_again, server->settle,
				   server->tick,       server->terminate,    server->interrupt };

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
	if (server->base)
		event_base_free(server->base);
}

static bool is_readable(const struct peer *peer)
{
	struct pollfd poll_fd = { .fd = peer->fd, .events = POLLIN };

	return !peer->is_gone && poll(&poll_fd, 1, 0) > 0;
}

/* What programs have sent by now is taken in before we go: all from those that have ended; those that
 * go on could send for ever. */
static void read_all(struct server *server)
{
	uint64_t until = clock_monotonic_ns() + LAST_READS_NS;
	struct peer *peer, *next_peer;
	bool more;

	do {
		accept_cb(server->listen_fd, EV_READ, server);
		more = false;
		for (peer = server->peers.first; peer; peer = next_peer) {
			next_peer = peer->next;
			if (!is_readable(peer))
				continue;
			more = true;
			peer_read(peer);
		}
	} while (more && clock_monotonic_ns() < until);
}

int server_run(const struct server_options *options)
{
	struct server server = { .options = options, .listen_fd = -1, .spare_fd = -1 };
	struct daemon *daemon = &server.daemon;
	struct store_error error = { "" };
	char socket_path[PATH_MAX];
	int status = 3;

	if (options->private && options->ready_fd >= 0)
		server.starter = getppid();
	server.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	batch_setup();
	raise_limits();
	signal(SIGPIPE, SIG_IGN);
	if (daemon_open(daemon, options->db_path, &daemon_calls, &error) != 0) {
		fprintf(stderr, "heaptaped: %s\n", error.text[0] ? error.text : "out of memory");
		return 3;
	}
	resolver_init(&server.resolver, daemon, &resolver_calls, &server);
	peers_init(&server.peers, daemon, &server.resolver, &peers_calls, &server);
	daemon->private = options->private;
	daemon->socket_path = options->socket_path;
	daemon->writer.patience_ms = daemon->writer.usual_patience_ms = options->patience_ms;
	server.listen_fd = listen_on(options->socket_path);
	if (server.listen_fd < 0)
		goto out;
	if (realpath(options->socket_path, socket_path))
		daemon->socket_path = socket_path;
	if (!make_events(&server)) {
		listen_trouble(options->socket_path, "out of memory", NULL);
		goto out;
	}
	if (options->ready_fd >= 0) {
		bool awaited = write(options->ready_fd, "\n", 1) == 1;

		close(options->ready_fd);
		if (!awaited)
			fprintf(stderr, "heaptaped: nobody waits on --ready-fd\n");
		if (!awaited && options->private)
			goto out;
	}
	server.resolver.base = server.peers.base = server.base;
	/* Nobody has looked up the names of functions for them yet. */
	if (daemon->writer.left_runs > 0)
		resolver_request(&server.resolver, 0);
	event_base_dispatch(server.base);
	status = 0;
	read_all(&server);
	daemon->stopping = true;
	while (server.peers.first)
		peer_free(server.peers.first);
	settle_cb(-1, 0, &server);
out:
	if (server.listen_fd >= 0) {
		unlink(options->socket_path);
		close(server.listen_fd);
	}
	if (server.spare_fd >= 0)
		close(server.spare_fd);
	resolver_release(&server.resolver);
	free_events(&server);
	daemon_close(daemon);
	return status;
}
