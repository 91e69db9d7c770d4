#include "daemon/children.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/run.h"
#include "daemon/server.h"

static int option(int fd, int name)
{
	int value = -1;
	socklen_t bytes = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &bytes) == 0 ? value : -1;
}

bool children_take(struct peer *parent, int fd)
{
	struct ucred ucred = { .pid = 0 };
	socklen_t bytes = sizeof(ucred);

	if (option(fd, SO_DOMAIN) != AF_UNIX || option(fd, SO_TYPE) != SOCK_STREAM)
		return false;
	/* Who made the pair. That its parent is served is enough. */
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &bytes);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || peer_new(parent->server, fd, ucred.pid) != 0) {
		close(fd);
		children_lost(parent);
	}
	return true;
}

void children_lost(struct peer *parent)
{
	if (parent->run)
		run_add_forks(parent->run, 0, 0, 1);
}

void children_count(struct peer *parent)
{
	struct ring *ring = parent->process ? &parent->process->ring : &parent->ring;

	if (ring_refresh(ring) != 0)
		return;
	run_add_forks(parent->run, parent->process_id, ring->head.forks - parent->forks,
		      ring->head.lost_forks - parent->lost_forks);
	run_add_lost_execs(parent->run, parent->process_id,
			   ring->head.lost_execs - parent->lost_execs);
	parent->run->spawns += ring->head.spawns - parent->spawns;
	parent->forks = ring->head.forks;
	parent->lost_forks = ring->head.lost_forks;
	parent->lost_execs = ring->head.lost_execs;
	parent->spawns = ring->head.spawns;
}

void children_await(struct peer *parent)
{
	struct ring ring = parent->process->ring;

	children_count(parent);
	ring.fd = fcntl(ring.fd, F_DUPFD_CLOEXEC, 0);
	peer_end_process(parent);
	parent->ring = ring;
	parent->state = PEER_LEFT;
	parent->run->left++;
	parent->run->looked = false;
}

void children_done(struct peer *parent)
{
	children_count(parent);
	ring_close(&parent->ring);
	parent->run->left--;
	parent->run->looked = false;
}
