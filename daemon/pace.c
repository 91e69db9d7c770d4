#include "daemon/pace.h"

#include <event2/event.h>

#include "daemon/clock.h"
#include "daemon/peer.h"
#include "daemon/server.h"

#define REST_NS 1000000u
/* What may gather meanwhile: a socket whose program is not root's holds some 400 KiB. */
#define GATHER_BYTES (192u << 10)
/* So many looks in vain, and we wait to be woken. */
#define LOOKS 8

/* How much would come while it is left alone, going by what came since it was last read. */
static uint64_t foreseen(const struct peer *peer, uint64_t bytes, uint64_t now)
{
	uint64_t since_ns = now - peer->read_ns;

	return since_ns < REST_NS ? bytes * REST_NS / (since_ns + 1) : bytes;
}

static void look(struct peer *peer, bool resting)
{
	static const struct timeval rest = { 0, REST_NS / 1000 };
	uint64_t before = peer->read_bytes, now = clock_monotonic_ns(), bytes;
	bool rests;

	if (!peer_read(peer))
		return;
	bytes = peer->read_bytes - before;
	peer->looks = bytes ? LOOKS : peer->looks - (peer->looks != 0);
	rests = peer->looks && peer->state == PEER_PROGRAM &&
		foreseen(peer, bytes, now) <= GATHER_BYTES;
	peer->read_ns = now;
	if (rests) {
		if (!resting)
			event_del(peer->readable);
		event_add(peer->rested, &rest);
	} else if (resting) {
		event_add(peer->readable, NULL);
	}
}

static void readable_cb(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	look(context, false);
}

static void rested_cb(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	look(context, true);
}

bool pace_begin(struct peer *peer)
{
	struct event_base *base = peer->server->base;

	peer->readable = event_new(base, peer->fd, EV_READ | EV_PERSIST, readable_cb, peer);
	peer->rested = event_new(base, -1, 0, rested_cb, peer);
	if (peer->readable && peer->rested && event_add(peer->readable, NULL) == 0)
		return true;
	pace_end(peer);
	return false;
}

void pace_end(struct peer *peer)
{
	if (peer->readable)
		event_free(peer->readable);
	if (peer->rested)
		event_free(peer->rested);
	peer->readable = peer->rested = NULL;
}
