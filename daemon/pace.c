#include "daemon/pace.h"

#include <event2/event.h>

#include "daemon/clock.h"

#define REST_NS 1000000u
/* What may gather meanwhile: a socket whose program is not root's holds some 400 KiB. */
#define GATHER_BYTES (192u << 10)
/* So many looks in vain, and we wait to be woken. */
#define LOOKS 8

/* How much would come while it is left alone, going by what came since it was last read. */
static uint64_t foreseen(const struct pace *pace, uint64_t bytes, uint64_t now)
{
	uint64_t since_ns = now - pace->read_ns;

	return since_ns < REST_NS ? bytes * REST_NS / (since_ns + 1) : bytes;
}

static void look(struct pace *pace, bool resting)
{
	static const struct timeval rest = { 0, REST_NS / 1000 };
	uint64_t now = clock_monotonic_ns();
	bool streams, rests;
	int64_t bytes = pace->calls->read(pace, &streams);

	if (bytes < 0)
		return;
	pace->looks = bytes ? LOOKS : pace->looks - (pace->looks != 0);
	rests = pace->looks && streams && foreseen(pace, (uint64_t)bytes, now) <= GATHER_BYTES;
	pace->read_ns = now;
	if (rests) {
		if (!resting)
			event_del(pace->readable);
		event_add(pace->rested, &rest);
	} else if (resting) {
		event_add(pace->readable, NULL);
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

bool pace_begin(struct pace *pace, struct event_base *base, int fd, const struct pace_calls *calls)
{
	pace->calls = calls;
	pace->readable = event_new(base, fd, EV_READ | EV_PERSIST, readable_cb, pace);
	pace->rested = event_new(base, -1, 0, rested_cb, pace);
	if (pace->readable && pace->rested && event_add(pace->readable, NULL) == 0)
		return true;
	pace_end(pace);
	return false;
}

void pace_end(struct pace *pace)
{
	if (pace->readable)
		event_free(pace->readable);
	if (pace->rested)
		event_free(pace->rested);
	pace->readable = pace->rested = NULL;
}
