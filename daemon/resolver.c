#include "daemon/resolver.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/server.h"
#include "daemon/symbols.h"

static void readable_cb(evutil_socket_t fd, short what, void *context);

static void start(struct resolver *resolver, int64_t run_id)
{
	pid_t pid = symbols_spawn(resolver->server->options->db_path, run_id, &resolver->fd);

	if (pid < 0) {
		fprintf(stderr, "heaptaped: cannot look up symbols: %s\n", strerror(-(int)pid));
		return;
	}
	resolver->pid = pid;
	resolver->readable = event_new(resolver->server->base, resolver->fd, EV_READ | EV_PERSIST,
				       readable_cb, resolver);
	if (resolver->readable)
		event_add(resolver->readable, NULL);
	else
		resolver_release(resolver);
}

void resolver_release(struct resolver *resolver)
{
	if (!resolver->pid)
		return;
	if (resolver->readable)
		event_free(resolver->readable);
	close(resolver->fd);
	resolver->readable = NULL;
	resolver->pid = 0;
}

/* What it says is progress, for nobody here; its end is what counts. */
static void readable_cb(evutil_socket_t fd, short what, void *context)
{
	struct resolver *resolver = context;
	char text[512];
	ssize_t got;

	(void)what;
	do {
		got = read((int)fd, text, sizeof(text));
	} while (got > 0 || (got < 0 && errno == EINTR));
	if (got < 0)
		return;
	while (waitpid(resolver->pid, NULL, 0) < 0 && errno == EINTR)
		;
	resolver_release(resolver);
	if (resolver->wanted) {
		resolver->wanted = false;
		start(resolver, resolver->wanted_run);
	}
	server_changed(resolver->server);
}

void resolver_request(struct resolver *resolver, int64_t run_id)
{
	if (!resolver->pid) {
		start(resolver, run_id);
		return;
	}
	resolver->wanted_run = resolver->wanted && resolver->wanted_run != run_id ? 0 : run_id;
	resolver->wanted = true;
}
